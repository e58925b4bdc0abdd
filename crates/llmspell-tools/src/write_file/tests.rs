use llmspell::{ErrorKind, Step};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::permission::Permissions;

struct Fixture {
    folder: TempDir,
    tool: DynTool,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("precious"), "secret").unwrap();
    let granted = Permissions::none().allow_write(folder.path().join("out")).unwrap();
    Fixture { tool: write_file(&Gate::of_user(&granted)), folder }
}

impl Fixture {
    async fn write(&self, path: &str, content: &str, mut more: Value) -> Result<Value> {
        more["path"] = self.folder.path().join(path).to_str().into();
        more["content"] = content.into();
        self.tool.run(more, &Context::new()).await
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("out")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn files_are_replaced_made_or_added_to() {
    let files = fixture();
    assert_eq!(files.write("out/a", "1", json!({})).await.unwrap()["bytes"], 1);
    files.write("out/a", "22", json!({})).await.unwrap();
    assert_eq!(files.read("out/a"), "22");
    let error = files.write("out/a", "3", json!({ "mode": "create_new" })).await.unwrap_err();
    assert!(error.message().contains("exists already") && error.hint().is_some(), "{error}");
    files.write("out/b", "3", json!({ "mode": "create_new" })).await.unwrap();
    files.write("out/b", "4", json!({ "mode": "append" })).await.unwrap();
    assert_eq!((files.read("out/a"), files.read("out/b")), ("22".to_owned(), "34".to_owned()));
    assert_eq!(files.names(), ["a", "b"], "no drafts stay behind");
    let error = files.write("out/c/d/e", "5", json!({})).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("parents: true")), "{error}");
    files.write("out/c/d/e", "5", json!({ "parents": true })).await.unwrap();
    assert_eq!(files.read("out/c/d/e"), "5");
    let mut json = json!({ "content": { "a": [1] } });
    json["path"] = files.folder.path().join("out/j").to_str().into();
    files.tool.run(json, &Context::new()).await.unwrap();
    assert_eq!(files.read("out/j"), r#"{"a":[1]}"#);
}

#[tokio::test]
async fn nothing_outside_is_written() {
    let files = fixture();
    for path in ["precious", "new", "out/../precious", "out/../new", "other/new"] {
        let error = files.write(path, "x", json!({ "parents": true })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{path}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--allow ")), "{path}: {error:?}");
    }
    assert!(files.write("out/x/../../new", "x", json!({ "parents": true })).await.is_err());
    assert!(files.write("out", "x", json!({})).await.is_err());
    assert!(files.write("out/new/", "x", json!({})).await.is_err());
    assert_eq!(files.read("precious"), "secret");
    assert!(!files.folder.path().join("new").exists() && !files.folder.path().join("other").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn links_lead_to_where_they_lead() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let files = fixture();
    let at = |path: &str| files.folder.path().join(path);
    symlink(at("precious"), at("out/link")).unwrap();
    symlink(at("nothing"), at("out/dangling")).unwrap();
    symlink(at("."), at("out/up")).unwrap();
    for path in ["out/link", "out/dangling", "out/up/precious", "out/up/new"] {
        for mode in ["overwrite", "create_new", "append"] {
            assert!(files.write(path, "x", json!({ "mode": mode })).await.is_err(), "{path} {mode}");
        }
    }
    assert_eq!(files.read("precious"), "secret");
    assert!(!at("nothing").exists() && !at("new").exists());

    std::fs::write(at("out/real"), "old").unwrap();
    std::fs::set_permissions(at("out/real"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink(at("out/real"), at("out/inside")).unwrap();
    files.write("out/inside", "new", json!({})).await.unwrap();
    assert_eq!(files.read("out/real"), "new");
    assert!(at("out/inside").is_symlink());
    assert_eq!(at("out/real").metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

/// Another thread swaps a folder for a link as fast as it can while files are written.
#[cfg(unix)]
#[test]
fn racing_links_cannot_escape_the_permissions() {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    let files = fixture();
    let at = |path: &str| files.folder.path().join(path);
    std::fs::create_dir(at("elsewhere")).unwrap();
    std::fs::create_dir(at("out/turning")).unwrap();
    let (turning, aside, elsewhere) = (at("out/turning"), at("out/aside"), at("elsewhere"));
    let done = AtomicBool::new(false);
    let landed = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::fs::rename(&turning, &aside).unwrap();
                symlink(&elsewhere, &turning).unwrap();
                std::fs::remove_file(&turning).unwrap();
                std::fs::rename(&aside, &turning).unwrap();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let landed = runtime.block_on(async {
            let mut landed = 0;
            for number in 0..2000 {
                let path = format!("out/turning/{number}");
                landed += usize::from(files.write(&path, "x", json!({})).await.is_ok());
            }
            landed
        });
        done.store(true, Ordering::Relaxed);
        landed
    });
    assert_eq!(elsewhere.read_dir().unwrap().count(), 0);
    assert_eq!(turning.read_dir().unwrap().count(), landed);
}
