//! `llmspell completions`: what completes the command in a shell, with the runs and the flows of the folder.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::options::args::{Args, CompletionsArgs};
use crate::ui::show;

/// Prints what completes the command in a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "llmspell", &mut script);
    let script = named(args.shell, String::from_utf8_lossy(&script).into_owned());
    show::data(script.trim_end()).map_err(Failure::output)?;
    Ok(Exit::Ok)
}

/// The same with the names of runs and of flow files, which are looked up when they are asked for. They are told by
/// their files: so nothing has to be started.
fn named(shell: Shell, script: String) -> String {
    match shell {
        Shell::Bash => script.replace("complete -F _llmspell ", "complete -F _llmspell_named ") + BASH,
        Shell::Zsh => {
            let names = |line: &str| match line.strip_suffix(":_default' \\") {
                Some(start) if RUNS.iter().any(|run| start.contains(run)) => format!("{start}:_llmspell_runs' \\"),
                _ => match line.strip_suffix(":_files' \\") {
                    Some(start) if start.contains(":flow -- ") || start.contains("::flows -- ") => {
                        format!("{start}:_files -g \"*.(yaml|yml)(-.)\"' \\")
                    }
                    _ => line.to_owned(),
                },
            };
            let script: Vec<String> = script.lines().map(names).collect();
            script.join("\n").replacen("\n_llmspell() {\n", &format!("{ZSH}\n_llmspell() {{\n"), 1)
        }
        Shell::Fish => script + FISH,
        _ => script,
    }
}

/// How clap begins an argument that is a run, in the script for zsh.
const RUNS: [&str; 3] = ["':run -- ", "'::run -- ", "'*::runs -- "];

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
