use std::path::Path;

use super::*;

fn some(grants: &[&str]) -> Permissions {
    grants.iter().fold(Permissions::none(), |all, grant| all.allow(grant).unwrap())
}

#[test]
fn hosts_are_compared_whole() {
    let some = some(&["net=Example.org", "net=localhost:8080"]);
    assert!(some.may_talk_to("example.ORG", Some(443)));
    assert!(!some.may_talk_to("evil-example.org", Some(443)));
    assert!(!some.may_talk_to("example.org.evil", Some(443)));
    assert!(some.may_talk_to("localhost", Some(8080)));
    assert!(!some.may_talk_to("localhost", Some(22)));
    assert!(Permissions::none().allow_net("*").unwrap().may_talk_to("anything", None));
    assert!(!Permissions::none().may_talk_to("", None));
}

#[test]
fn hosts_that_cannot_be_are_refused() {
    for wrong in [
        "http://127.0.0.1",
        "*.0.0.1",
        "127.0.0.1:",
        "",
        " ",
        "a b",
        "a/b",
        "u@h",
        "::1",
        "h:0",
        "h:65536",
        "h:x",
        ":80",
    ] {
        let error = Permissions::none().allow_net(wrong).unwrap_err();
        assert!(error.hint().is_some(), "{wrong}");
    }
    assert!(some(&["net=example.org:80"]).may_talk_to("example.org", Some(80)));
    assert!(!some(&["net=example.org:80"]).may_talk_to("example.org", Some(443)));
    assert!(some(&["net=[::1]:8080"]).may_talk_to("[::1]", Some(8080)));
    assert!(some(&["net=[::1]"]).may_talk_to("[::1]", Some(1)));
}

#[test]
fn invalid_permissions_are_refused_with_the_valid_kinds() {
    for (wrong, hint) in [
        ("raed=x", "did you mean `read`?"),
        ("all", "the kinds are"),
        ("", "the kinds are"),
        ("net=", "write `net` alone to allow any"),
        ("net-private=10.0.0.1", "net=192.168.0.7"),
        ("read=/nowhere/at/all", "name a folder that exists"),
        ("command=./x.sh", "/usr/bin/git"),
        ("command=a/b", "/usr/bin/git"),
    ] {
        let error = Permissions::none().allow(wrong).unwrap_err();
        assert!(error.hint().is_some_and(|text| text.contains(hint)), "{wrong}: {:?}", error.hint());
    }
}

#[test]
fn only_what_is_asked_for_and_granted_is_allowed() {
    for (granted, asked, both) in [
        (&["net"][..], &["net=a.org"][..], &["net=a.org"][..]),
        (&["net=a.org"], &["net"], &["net=a.org"]),
        (&["net=a.org"], &["net=a.org:443", "net=b.org"], &["net=a.org:443"]),
        (&["net=a.org:80"], &["net=a.org:443"], &[]),
        (&["net=a.org:80"], &["net=a.org"], &["net=a.org:80"]),
        (&["net", "net-private"], &["net=a.org"], &["net=a.org", "net-private"]),
        (&["net"], &["net", "net-private"], &["net"]),
        (&["command", "tool=a"], &["command=git", "tool"], &["command=git", "tool=a"]),
        (&["command=git"], &["command=ls"], &[]),
        (&["read=/"], &["read=/usr"], &["read=/usr"]),
        (&["read=/usr"], &["read=/"], &["read=/usr"]),
        (&["write=/usr"], &["read=/usr"], &[]),
        (&["read", "write"], &[], &[]),
    ] {
        assert_eq!(some(granted).within(&some(asked)).list(), both, "{granted:?} within {asked:?}");
    }
}

#[test]
fn any_host_is_none_that_is_private() {
    let private = |granted: &[&str], asked: &[&str], host: &str| {
        let both = some(granted).within(&some(asked));
        both.may_talk_to(host, Some(80)) && both.may_be_private(host, Some(80))
    };
    assert!(private(&["net=127.0.0.1"], &["net"], "127.0.0.1"));
    assert!(private(&["net=localhost:80"], &["net=localhost"], "localhost"));
    assert!(private(&["net", "net-private"], &["net=intern.org"], "intern.org"));
    assert!(private(&["net", "net=10.0.0.7"], &["net=10.0.0.7"], "10.0.0.7"));
    assert!(!private(&["net"], &["net=127.0.0.1"], "127.0.0.1"));
    assert!(!private(&["net"], &["net", "net-private"], "127.0.0.1"));
    assert!(!private(&["net", "net=localhost:8080"], &["net"], "localhost"));
    assert!(!private(&["net=intern.org"], &["net"], "intern.org"));
}

#[test]
fn programs_are_the_same_by_name_and_by_path() {
    let sh = program::found("sh").unwrap();
    let sh = sh.to_str().unwrap();
    assert!(some(&["command=sh"]).may_start(sh) && some(&[&format!("command={sh}")]).may_start("sh"));
    assert!(!some(&["command=sh"]).may_start("/tmp/sh"));
    assert!(!some(&["command=sh"]).may_start("./sh"));
    assert!(!some(&["command=no-such-program"]).may_start("no-such-other"));
}

#[test]
fn a_flow_asks_for_folders_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let asked = Permissions::asked_in(&folder).allow("write=out/a").unwrap().allow("read=.").unwrap();
    assert!(asked.may_write(&folder.join("out/a/b")) && !asked.may_write(&folder.join("out/b")));
    assert!(asked.may_read(&folder.join("x")));
    assert!(Permissions::asked_in(&folder).allow("write=new/../../x").is_err());
}

#[test]
fn missing_permissions_name_their_grantor() {
    let missing = |granted: &[&str], asked: &[&str]| -> Vec<String> {
        let gate = Gate::new(&some(granted), &some(asked));
        gate.missing(PermissionKind::Net).iter().map(MissingPermission::hint).collect()
    };
    assert_eq!(missing(&[], &["net=a.org"]), ["allow it with --allow net=a.org"]);
    assert_eq!(missing(&["net=a.org"], &["net=a.org", "net=b.org"]), ["allow it with --allow net=b.org"]);
    assert_eq!(missing(&[], &["net"]), ["allow it with --allow net=HOST"]);
    assert_eq!(missing(&["net=a.org"], &["net"]), [""; 0]);
    assert_eq!(missing(&["net"], &["read"]), ["add to the flow file: allow: { net: [\"HOST\"] }"]);
    let gate = Gate::new(&some(&["net=a.org"]), &some(&["net=b.org"]));
    let hint = |host: &str| gate.talk(host, None, |why| why).unwrap_err().hint().unwrap_or_default().to_owned();
    assert_eq!(hint("b.org"), "allow it with --allow net=b.org");
    assert_eq!(hint("a.org"), "add to the flow file: allow: { net: [\"a.org\"] }");
    let error = Gate::of_user(&Permissions::none()).read(Path::new("/usr"), Path::new("../usr")).unwrap_err();
    assert_eq!(error.hint(), Some("allow it with --allow read=/usr"));
}

#[test]
fn names_do_not_break_out_of_the_hint() {
    let remedy = |name: &str| MissingPermission::new(Grantor::User, format!("tool={name}")).remedy();
    assert_eq!(remedy("files_read-all.v2"), "--allow tool=files_read-all.v2");
    assert_eq!(remedy("x --allow command"), "--allow 'tool=x --allow command'");
    assert_eq!(remedy("it's; rm"), r"--allow 'tool=it'\''s; rm'");
    assert_eq!(remedy("a,command"), "--allow 'tool=a,command'");
    assert_eq!(missing_permission::shell_quoted(""), "''");
}
