//! `llmspell completions`: the completion script of a shell, with the names of runs and of flow files.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::{CommandError, Exit};
use crate::options::args::{Args, CompletionsArgs};
use crate::ui::terminal;

/// Prints the script.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "llmspell", &mut script);
    let script = with_names(args.shell, String::from_utf8_lossy(&script).into_owned());
    terminal::data(script.trim_end())?;
    Ok(Exit::Ok)
}

/// Adds the names of runs and of flow files. The script reads them from the names of files when a user completes a
/// word, so that no program must be started for it.
fn with_names(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script.replace("complete -F _llmspell ", "complete -F _llmspell_named ") + BASH,
        Shell::Zsh => {
            let script: Vec<String> = script.lines().map(zsh_line).collect();
            script.join("\n").replacen("\n_llmspell() {\n", &format!("{ZSH}\n_llmspell() {{\n"), 1)
        }
        Shell::Fish => script + FISH,
        _ => script,
    }
}

/// Replaces the default completion of arguments that are runs or flows.
fn zsh_line(line: &str) -> String {
    if let Some(start) = line.strip_suffix(":_default' \\").filter(|start| is_run_argument(start)) {
        return format!("{start}:_llmspell_runs' \\");
    }
    match line.strip_suffix(":_files' \\") {
        Some(start) if start.contains(":flow -- ") || start.contains("::flows -- ") => {
            format!("{start}:_files -g \"*.(yaml|yml)(-.)\"' \\")
        }
        _ => line.to_owned(),
    }
}

/// Returns whether this is the start of an argument that names a run, as clap writes it in the script for zsh.
fn is_run_argument(start: &str) -> bool {
    ["':run -- ", "'::run -- ", "'*::runs -- "].iter().any(|prefix| start.contains(prefix))
}

const BASH: &str = r#"
_llmspell_named() {
    local cur="${COMP_WORDS[COMP_CWORD]}" name
    if [[ "${cur}" != -* && "${COMP_WORDS[COMP_CWORD-1]}" != -* ]] ; then
        case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
            "resume "* | "report "* | "runs "[a-z]*)
                if [[ "${COMP_WORDS[1]}" != "runs" || "${COMP_CWORD}" -gt 2 ]] ; then
                    COMPREPLY=()
                    for name in .llmspell/runs/*.db ; do
                        name="${name##*/}"
                        [[ "${name}" == "${cur}"*.db && "${name}" != "*.db" ]] && COMPREPLY+=( "${name%.db}" )
                    done
                    return 0
                fi
                ;;
            "run "* | "plan "* | "check "*)
                COMPREPLY=()
                for name in "${cur}"* ; do
                    [[ -d "${name}" ]] && COMPREPLY+=( "${name}/" )
                    [[ -f "${name}" && "${name}" == *.@(yaml|yml) ]] && COMPREPLY+=( "${name}" )
                done
                compopt -o filenames -o nospace 2>/dev/null
                [[ "${#COMPREPLY[@]}" -eq 1 && -f "${COMPREPLY[0]}" ]] && compopt +o nospace 2>/dev/null
                return 0
                ;;
        esac
    fi
    _llmspell "$@"
}
"#;

const ZSH: &str = r#"
_llmspell_runs() {
    local -a names
    names=(.llmspell/runs/*.db(N:t:r))
    compadd -a names
}
"#;

const FISH: &str = r#"
function __llmspell_runs
    for file in .llmspell/runs/*.db
        string replace -r '^.*/(.*)\.db$' '$1' -- $file
    end
end
complete -c llmspell -n "__fish_llmspell_using_subcommand resume" -f -a "(__llmspell_runs)"
complete -c llmspell -n "__fish_llmspell_using_subcommand report" -f -a "(__llmspell_runs)"
complete -c llmspell -n "__fish_llmspell_using_subcommand runs; and __fish_seen_subcommand_from show set pause continue drain rm" -f -a "(__llmspell_runs)"
"#;
