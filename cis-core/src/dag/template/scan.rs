//! All templates of one text, each with what its place allows. The same reading serves checking a
//! file, finding out what a task refers to, and rendering it.

use std::collections::HashSet;
use std::ops::Range;

use super::command::{self, Within};
use super::expr::{Expr, ExprError};
use super::parser;
use super::position::{Dialect, Position, Refusal};
use super::shell::Lexer;

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dag) enum Site<'a> {
    /// A script for this shell.
    Script(&'a str),
    /// An argument of a command, and what its program takes it for.
    Argument(Within),
    /// Anything else: the value becomes part of the text.
    Plain,
}

/// One template and what to do with its value.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) expr: Expr,
    pub(super) form: Form,
}

/// What a template is replaced with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The value itself.
    Text,
    /// `"${CIS_Vn}"`.
    Bare,
    /// `${CIS_Vn}`.
    Quoted,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) found: Vec<Found>,
    pub(super) errors: Vec<ExprError>,
    /// Templates that can be read, in places where no value can stand.
    pub(super) misplaced: Vec<ExprError>,
}

/// Whether there is anything to scan.
#[must_use]
pub fn has_template(text: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), b"{{").is_some()
}

/// Reads all templates of `text`.
pub(super) fn scan(text: &str, site: Site<'_>) -> Scan {
    let mut scan = Scan::default();
    match site {
        Site::Plain => walk(&mut scan, text, &mut Anywhere(0), |expr, _| Ok(plain(expr))),
        Site::Argument(within) => {
            walk(&mut scan, text, &mut Anywhere(0), |expr, _| in_argument(text, expr, within));
        }
        Site::Script(shell) => match Dialect::of(shell) {
            Some(dialect) => {
                let mut lexer = Lexer::new(text, dialect);
                walk(&mut scan, text, &mut lexer, |expr, position| in_shell(text, expr, position));
                scan.refuse_later(text, lexer.run_later());
            }
            None => walk(&mut scan, text, &mut Anywhere(0), |expr, _| in_other_language(shell, expr)),
        },
    }
    scan
}

/// For each argument of a command, what can stand in it.
pub(in crate::dag) fn argument_sites<'a>(argv: impl Iterator<Item = &'a str>) -> Vec<Site<'static>> {
    command::arguments(argv).into_iter().map(Site::Argument).collect()
}

impl Scan {
    /// Refuses templates of whose values only what came after them made code.
    fn refuse_later(&mut self, text: &str, starts: &[usize]) {
        let starts: HashSet<usize> = starts.iter().copied().collect();
        let is_later =
            |found: &mut Found| found.form != Form::Text && starts.contains(&found.expr.range.start);
        let refused = self.found.extract_if(.., is_later);
        self.misplaced.extend(refused.map(|found| refused_at(text, found.expr.range, Refusal::Program)));
    }
}

/// Finds one template after the other.
trait Walker {
    fn next(&mut self, text: &str) -> Option<(usize, Position)>;

    fn resume(&mut self, end: usize);
}

impl Walker for Lexer<'_> {
    fn next(&mut self, _: &str) -> Option<(usize, Position)> {
        self.next_template()
    }

    fn resume(&mut self, end: usize) {
        Lexer::resume(self, end);
    }
}

/// Wherever they stand, from this byte on.
struct Anywhere(usize);

impl Walker for Anywhere {
    fn next(&mut self, text: &str) -> Option<(usize, Position)> {
        let found = memchr::memmem::find(&text.as_bytes()[self.0..], b"{{")?;
        Some((self.0 + found, Position::Bare))
    }

    fn resume(&mut self, end: usize) {
        self.0 = end;
    }
}

fn walk(
    scan: &mut Scan,
    text: &str,
    walker: &mut impl Walker,
    place: impl Fn(Expr, Position) -> Result<Found, ExprError>,
) {
    while let Some((start, position)) = walker.next(text) {
        match parser::parse_at(text, start) {
            Ok(expr) => {
                walker.resume(expr.range.end);
                match place(expr, position) {
                    Ok(found) => scan.found.push(found),
                    Err(error) => scan.misplaced.push(error),
                }
            }
            Err(error) => {
                let resume = error.resume;
                scan.errors.push(error);
                match resume {
                    Some(end) => walker.resume(end),
                    None => return,
                }
            }
        }
    }
}

fn plain(expr: Expr) -> Found {
    Found { expr, form: Form::Text }
}

fn in_shell(text: &str, expr: Expr, position: Position) -> Result<Found, ExprError> {
    if expr.raw {
        return Ok(plain(expr));
    }
    let refusal = match position {
        Position::Bare => return Ok(Found { expr, form: Form::Bare }),
        Position::Quoted => return Ok(Found { expr, form: Form::Quoted }),
        // The author's own text, as well, stays one argument there.
        Position::OnlyId { is_quoted, .. } if expr.is_id() || expr.literal().is_some() => {
            return Ok(Found { expr, form: if is_quoted { Form::Quoted } else { Form::Bare } });
        }
        Position::OnlyId { refusal, .. } | Position::Refused(refusal) => refusal,
    };
    // The author's own text, if it cannot end the quotes that it stands in.
    if expr.literal().is_some_and(|literal| !literal.contains(['\'', '"', '`', '\\', '$', '\n'])) {
        return Ok(plain(expr));
    }
    Err(refused_at(text, expr.range, refusal))
}

fn in_argument(text: &str, expr: Expr, within: Within) -> Result<Found, ExprError> {
    let part = &text.as_bytes()[..expr.range.start];
    match within.refuses(part) {
        Some(refusal) if !expr.raw && expr.literal().is_none() && !expr.is_id() => {
            Err(refused_at(text, expr.range, refusal))
        }
        _ => Ok(plain(expr)),
    }
}

fn refused_at(text: &str, range: Range<usize>, refusal: Refusal) -> ExprError {
    let (message, help) = refusal.explain(text, range.start);
    ExprError { range, message, help: Some(help), resume: None }
}

fn in_other_language(shell: &str, expr: Expr) -> Result<Found, ExprError> {
    if expr.raw || expr.literal().is_some() {
        return Ok(plain(expr));
    }
    let message = format!("a value cannot stand in a script for `{shell}`, whose quoting is not known here");
    let help = "pass it as a variable: env = { VALUE = \"{{ … }}\" }, and read VALUE in the script; \
                or write {{ … | raw }} if the value may become code";
    Err(ExprError { range: expr.range, message, help: Some(help.to_owned()), resume: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(shell: &str, script: &str) -> String {
        let scan = scan(script, Site::Script(shell));
        let mut all: Vec<(usize, String)> =
            scan.found.iter().map(|f| (f.expr.range.start, format!("{:?}", f.form))).collect();
        all.extend(scan.errors.iter().chain(&scan.misplaced).map(|e| (e.range.start, e.message.clone())));
        all.sort();
        all.into_iter().map(|(_, said)| said).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn positions_in_posix_scripts() {
        for (script, form) in [
            ("echo {{ attempt }}", "Bare"),
            ("echo \"{{ attempt }}\"", "Quoted"),
            ("echo 'a'{{ attempt }}'b'", "Bare"),
            ("echo \\'{{ attempt }}\\'", "Bare"),
            ("echo \"$(cat {{ attempt }})\"", "Bare"),
            ("echo $(cat \"{{ attempt }}\")", "Quoted"),
            ("echo a#b'{' # don't\necho {{ attempt }}", "Bare"),
            ("# {{ nothing }} is read here\n", ""),
            ("echo \\\n# it's a comment\necho {{ attempt }}", "Bare"),
            ("echo $# {{ attempt }}", "Bare"),
            ("echo ${#x} ${x:-'}'} \"${x%%-*}\" {{ attempt }}", "Bare"),
            ("echo $((1 << 2)) $(( $(id -u) + ${#x} )) {{ attempt }}", "Bare"),
            ("cat <<EOF\n$HOME's ${x} {{ attempt }}\n\\$(x)\nEOF\necho {{ attempt }}", "Quoted\nBare"),
            (
                "cat <<-E; cat <<'F' # x\n\tit's {{ attempt }}\n\tE\n'\nF\necho \"{{ attempt }}\"",
                "Quoted\nQuoted",
            ),
            ("x=$(cat <<E\n{{ attempt }}\nE\n)\n# it's\necho {{ attempt }}", "Quoted\nBare"),
            ("case x in\na) echo {{ attempt }};;\n(b) echo \"{{ attempt }}\";;\nesac", "Bare\nQuoted"),
            ("[ {{ attempt }} = 1 ] && x={{ attempt }}", "Bare\nBare"),
            ("f() { echo {{ attempt }}; }; (f; echo \"{{ attempt }}\")", "Bare\nQuoted"),
            ("echo '{{ attempt | raw }}' '{{ \"{{.Names}}\" }}'", "Text\nText"),
            ("echo $'a b' {{ attempt }}", "Bare"),
            ("v=$x{{ attempt }} \"$x{{ attempt }}\"", "Bare\nQuoted"),
            ("local -r v={{ attempt }}; declare v={{ attempt }}; v={{ attempt }}", "Bare\nBare\nBare"),
        ] {
            assert_eq!(forms("sh", script), form, "{script}");
        }
    }

    #[test]
    fn what_is_run_later_or_calculated_takes_no_value() {
        for script in [
            "trap \"rm -r {{ attempt }}\" EXIT",
            "declare -i n={{ attempt }}",
            "local -ri n=\"{{ attempt }}\"",
            "typeset -n n={{ attempt }}",
            "declare +x -i n={{ attempt }}",
            "declare -ia a=(\n  1\n  {{ attempt }}\n)",
            "if true; then X=1 local -i n={{ attempt }}; fi",
            "case full in\n  full) trap \"rm {{ attempt }}\" EXIT;;\nesac",
            "declare \"-i\" n={{ attempt }}",
            "time -p trap \"{{ attempt }}\" EXIT",
            "\\command -p eval {{ attempt }}",
            "$EMPTY eval {{ attempt }}",
            "{log}>x trap \"{{ attempt }}\" EXIT",
            "case full in (full) trap \"rm {{ attempt }}\" EXIT;; esac",
            "f() { trap \"rm {{ attempt }}\" EXIT; }",
            "f() { local -i n={{ attempt }}; }",
            "function f { trap \"rm {{ attempt }}\" EXIT; }",
            "echo \"$(trap \"rm {{ attempt }}\" EXIT; make)\"",
            "echo $(make) && (trap \"rm {{ attempt }}\" EXIT)",
        ] {
            assert!(forms("bash", script).contains("which runs them as code"), "{script}");
        }
        for script in [
            "trap - EXIT\ndeclare -i n; echo {{ attempt }}",
            "make trap {{ attempt }}",
            "./run.sh eval {{ attempt }}",
            "git commit -m let {{ attempt }}",
            "docker run -v local -i {{ attempt }}",
            "docker run $(cat options) local -i {{ attempt }}",
            "echo $(declare -i n) {{ attempt }}",
            "declare -ia a=(1\n2)\necho {{ attempt }}",
        ] {
            assert_eq!(forms("bash", script), "Bare", "{script}");
        }
    }

    #[test]
    fn the_builtin_that_runs_a_value_is_named() {
        for (script, by) in [
            ("eval {{ attempt }}", "eval"),
            ("let x={{ attempt }}", "let"),
            ("alias x=\"ls {{ attempt }}\"", "alias"),
            ("compgen -W \"{{ attempt }}\"", "compgen"),
            ("integer n={{ attempt }}", "integer"),
            ("local -ri n={{ attempt }}", "local -i"),
            ("declare -n n={{ attempt }}", "declare -n"),
            ("typeset -F n={{ attempt }}", "typeset -F"),
        ] {
            let said = forms("ksh", script);
            assert!(said.contains(&format!("in the arguments of `{by}`, which")), "{script}: {said}");
        }
    }

    #[test]
    fn a_hostile_script_takes_bounded_memory() {
        let printed = "echo {{ attempt }}\n".repeat(4000);
        let in_braces = format!("{{\n{printed}{}", "{ :\n}|sh\n".repeat(20_000));
        let in_parentheses = format!("{{\n{printed}}}{}", "|(:".repeat(20_000));
        let closed = format!("{{\n{printed}}}{}", "|(:)".repeat(20_000));
        let unopened = format!("{printed}{}", "fi|sh\n".repeat(20_000));
        for script in [in_braces, in_parentheses, closed, unopened] {
            let mut lexer = Lexer::new(&script, Dialect::Posix);
            while let Some((start, _)) = lexer.next_template() {
                lexer.resume(start + "{{ attempt }}".len());
            }
            assert!(lexer.run_later().len() <= 2 * (1 << 20), "{}", lexer.run_later().len());
        }
    }

    #[test]
    fn no_value_stands_in_a_script_for_another_shell() {
        for script in [
            "sh -c \"echo {{ attempt }}\"",
            "bash -euo pipefail -c 'echo '{{ attempt }}",
            "bash -ceuo pipefail \"{{ attempt }}\"",
            "/bin/bash -lc {{ attempt }}",
            "xargs -0 sh -c \"echo {{ attempt }}\" < list",
            "env -i A=1 sh -c \"{{ attempt }}\"",
            "find . -name x -exec sh -c \"echo {{ attempt }}\" \\;",
            "f() { sudo -u x bash -c \"{{ attempt }}\"; }",
            "case x in\na) exec sh -c \"{{ attempt }}\";;\nesac",
            "echo \"$(sh -c \"{{ attempt }}\")\"",
            "2>/dev/null sh -c \"{{ attempt }}\"",
            "su - x -c \"echo {{ attempt }}\"",
            "sudo su -s /bin/sh -c \"{{ attempt }}\" x",
            "ssh -p 22 u@host \"echo {{ attempt }}\"",
            "ssh host -T cd /x \\&\\& make {{ attempt }}",
            "watch -n 5 \"ls {{ attempt }}\"",
            "sh <<E\necho {{ attempt }}\nE",
            "sudo bash -s <<'E'\necho {{ attempt }}\nE",
            "ssh host <<E\necho {{ attempt }}\nE",
            "ssh host 'bash -s' <<E\necho {{ attempt }}\nE",
            "bash <<< \"echo {{ attempt }}\"",
            // Behind programs that run a command.
            "timeout -k 5 60 ssh host \"ls {{ attempt }}\"",
            "nice -n 5 su x -c \"ls {{ attempt }}\"",
            "env -u A B=1 ssh host ls {{ attempt }}",
            "xargs -n 1 ssh host ls {{ attempt }}",
            "setsid ssh host \"ls {{ attempt }}\"",
            "stdbuf -oL ssh host \"ls {{ attempt }}\"",
            "ionice -c 3 nice ssh host \"ls {{ attempt }}\"",
            "chroot /x su y -c \"{{ attempt }}\"",
            "doas -u x ssh host \"ls {{ attempt }}\"",
            "sudo -u x timeout 5 su -c \"{{ attempt }}\"",
            "flock -w 5 /x -c \"ls {{ attempt }}\"",
            "flock /x ssh host \"ls {{ attempt }}\"",
            "script -qc \"ls {{ attempt }}\" /dev/null",
            "sshpass -e ssh host \"ls {{ attempt }}\"",
            "sudo -nu x ssh host {{ attempt }}",
            "timeout --signal KILL 5 /usr/bin/ssh host \"ls {{ attempt }}\"",
            "runuser -u x ssh host \"ls {{ attempt }}\"",
            "exec -a x ssh host ls {{ attempt }}",
            "$SUDO ssh host \"ls {{ attempt }}\"",
            "/bin/su -c \"{{ attempt }}\"",
            "su -lc\"{{ attempt }}\" x",
            "sudo -n su --session-command=\"{{ attempt }}\"",
            "docker run --entrypoint sh x -c \"{{ attempt }}\"",
            "docker run -it --entrypoint=/bin/bash -v a:b x -ec \"{{ attempt }}\"",
            "ssh -o \"ProxyCommand nc {{ attempt }} %p\" host",
            "ssh -oProxyCommand=\"nc {{ attempt }}\" host",
            "mksh -c \"{{ attempt }}\"",
            "fish --command=\"{{ attempt }}\"",
            "bash \"-c\" \"{{ attempt }}\"",
            "ba\\\nsh -c \"{{ attempt }}\"",
            // Interpreters.
            "python3.12 -Bc \"print({{ attempt }})\"",
            "env perl -lne \"print {{ attempt }}\"",
            "node --eval=\"{{ attempt }}\"",
            "node -pe \"{{ attempt }}\"",
            "perl -e 'use x;' -e \"{{ attempt }}\"",
            "python3 - x <<E\nprint({{ attempt }})\nE",
            "python3 -Ic{{ attempt }}",
            "echo {{ attempt }} | python3 -I",
            // Scripts in standard input, and in files that are printed.
            "bash -s -- x <<E\necho {{ attempt }}\nE",
            "bash -s \"$A\" <<E\necho {{ attempt }}\nE",
            "bash /dev/stdin x <<E\necho {{ attempt }}\nE",
            "ssh host bash -s x <<E\necho {{ attempt }}\nE",
            "ssh host \"sudo bash\" <<E\necho {{ attempt }}\nE",
            "ssh host 'cd /x && bash' <<E\necho {{ attempt }}\nE",
            "ssh host /bin/sh -l <<E\necho {{ attempt }}\nE",
            "ssh host 'bash -l 2>&1 | tee log' <<E\necho {{ attempt }}\nE",
            "ssh host sudo su - x <<E\necho {{ attempt }}\nE",
            "ssh host ssh other bash <<E\necho {{ attempt }}\nE",
            "ssh host sh -c bash <<E\necho {{ attempt }}\nE",
            "su x -c bash <<E\necho {{ attempt }}\nE",
            "sudo -iu x <<E\necho {{ attempt }}\nE",
            "chroot /x <<E\necho {{ attempt }}\nE",
            "docker run -i --entrypoint sh x <<E\necho {{ attempt }}\nE",
            "bash &>/dev/null <<E\necho {{ attempt }}\nE",
            "ssh host &>>log <<E\necho {{ attempt }}\nE",
            "bash {log}>x <<E\necho {{ attempt }}\nE",
            ". /dev/stdin <<E\necho {{ attempt }}\nE",
            "source /dev/stdin <<< \"echo {{ attempt }}\"",
            ". <(echo \"{{ attempt }}\")",
            "source <(make; cat <<E\n{{ attempt }}\nE\n)",
            "bash <(printf 'x=%s' {{ attempt }})",
            "bash < <(echo {{ attempt }})",
            // Pipelines.
            "echo \"{{ attempt }}\" | sh",
            "printf '%s' {{ attempt }} 2>&1 | sed s/x/y/ |\n  sudo bash -eu",
            "sudo echo {{ attempt }} |& ssh host",
            "echo $(echo {{ attempt }}) | sh",
            "echo {{ attempt }} | (sh)",
            "(make; echo {{ attempt }}) | sh",
            "{ make; echo {{ attempt }}; make; } | sh",
            "for i in 1 2; do echo {{ attempt }}; done | sh",
            "cat <<E | sh\necho {{ attempt }}\nE",
            "cat <<'E' | sed s/x/y/ | python3\n{{ attempt }}\nE",
            "cat <<E |\necho {{ attempt }}\nE\nsh",
            "cat <<< {{ attempt }} | sh",
            "make && echo {{ attempt }} | docker exec -i x sh; make",
            "echo \"ls {{ attempt }}\" | xargs -0 sh -c",
            "echo \"ls {{ attempt }}\" | at now + 1 hour",
            "ed -s x <<E\n{{ attempt }}\nE",
            // Code of programs that are neither shells nor interpreters of scripts.
            "awk \"/{{ attempt }}/\" x",
            "gawk -F: -v n=1 \"/{{ attempt }}/ { print n }\" x",
            "gawk -e 'BEGIN { n = 1 }' -e \"{{ attempt }}\"",
            "gawk --source=\"{{ attempt }}\"",
            "awk -f - x <<E\n{{ attempt }}\nE",
            "awk -f <(echo {{ attempt }}) x",
            "sed -i \"s/x/{{ attempt }}/\" x",
            "sed s/x/{{ attempt }}/ x",
            "sed -i.bak -ne 1p -e \"{{ attempt }}p\" x",
            "sed --expression=\"{{ attempt }}\" x",
            "sed -f- x <<E\n{{ attempt }}\nE",
            "sed --file=/dev/stdin x <<E\n{{ attempt }}\nE",
            "find . -print0 | xargs -0 sed -i \"s/x/{{ attempt }}/\"",
            "make VERSION={{ attempt }}",
            "sudo make -C x -j 4 install CFLAGS=\"-O2 {{ attempt }}\"",
            "make --eval=\"{{ attempt }}\"",
            "make -f - <<E\nall:\n\techo {{ attempt }}\nE",
            "echo {{ attempt }} | make -sf -",
            "env -S \"sh -x {{ attempt }}\"",
            "env -iS{{ attempt }}",
            "env --split-string=\"{{ attempt }}\"",
            "tclsh <<E\nputs {{ attempt }}\nE",
            "expect -c \"spawn {{ attempt }}\"",
            "Rscript --vanilla -e \"print({{ attempt }})\"",
            "julia -O3 -E {{ attempt }}",
            "gnuplot -e x={{ attempt }}",
            "gnuplot -persist <<E\nplot {{ attempt }}\nE",
            "gnuplot -d -persist -e \"plot {{ attempt }}\"",
            "echo {{ attempt }} | gnuplot -default-settings -slow -",
            "gnuplot -persist -c /dev/stdin x <<E\nplot {{ attempt }}\nE",
            "echo {{ attempt }} p | dc",
            "unshare -rn --setgroups deny ssh host \"ls {{ attempt }}\"",
            "nsenter -t 1 -m su x -c \"{{ attempt }}\"",
            "setpriv --reuid 5 ssh host ls {{ attempt }}",
            "systemd-run --user -p Nice=5 --unit x ssh host ls {{ attempt }}",
            "pkexec --user x perl -e \"{{ attempt }}\"",
            "strace -f -o log awk \"{{ attempt }}\"",
            "xvfb-run -a -s '-screen 0' python3 -c \"{{ attempt }}\"",
            "fakeroot toybox sed \"{{ attempt }}\"",
        ] {
            assert!(forms("bash", script).contains("in a script for another shell"), "{script}");
        }
        for (script, form) in [
            ("sh -c 'echo \"$1\"' sh {{ attempt }}", "Bare"),
            ("bash build.sh -c {{ attempt }} <<E\n{{ attempt }}\nE", "Bare\nQuoted"),
            ("bash -c 'cat' <<E\n{{ attempt }}\nE\necho {{ attempt }}", "Quoted\nBare"),
            ("useradd -s /bin/bash -c \"{{ attempt }}\" x", "Quoted"),
            ("useradd --shell=/bin/bash -c \"{{ attempt }}\" x", "Quoted"),
            ("curl -s \"{{ attempt }}\" -o {{ attempt }}", "Quoted\nBare"),
            ("ssh -p {{ attempt }} u@{{ attempt }} uptime; echo {{ attempt }}", "Bare\nBare\nBare"),
            ("ssh host 'cat > x' <<E\n{{ attempt }}\nE", "Quoted"),
            ("ssh -fNL 80:a:80 {{ attempt }}", "Bare"),
            ("ssh -tp 22 {{ attempt }}", "Bare"),
            ("ssh -qi key {{ attempt }} uptime", "Bare"),
            ("ssh -Ao BatchMode=yes {{ attempt }}", "Bare"),
            ("ssh -p{{ attempt }} -o User={{ attempt }} host uptime", "Bare\nBare"),
            ("ssh {{ attempt }}>log uptime", "Bare"),
            ("ssh host bash -c cat <<E\n{{ attempt }}\nE", "Quoted"),
            ("ssh host bash deploy.sh <<E\n{{ attempt }}\nE", "Quoted"),
            ("ssh host 'grep bash - > x; cat x' <<E\n{{ attempt }}\nE", "Quoted"),
            ("X=/usr/bin/ssh make x {{ attempt }}", "Bare"),
            ("tee sh <<E\n{{ attempt }}\nE", "Quoted"),
            ("make &> {{ attempt }}", "Bare"),
            ("sudo useradd -ms /bin/bash -c \"{{ attempt }}\" x", "Quoted"),
            ("docker run --entrypoint sh x -c 'ls -- \"$1\"' sh {{ attempt }}", "Bare"),
            ("perl -ne 'print' <<E\n{{ attempt }}\nE", "Quoted"),
            ("rsync -e ssh -a {{ attempt }} host:{{ attempt }}", "Bare\nBare"),
            (
                "case x in\nssh|sh) echo -c \"{{ attempt }}\";;\n(su) echo -c {{ attempt }};;\nesac",
                "Quoted\nBare",
            ),
            ("for s in bash zsh; do echo -c {{ attempt }}; done", "Bare"),
            ("echo \"{{ attempt }}\" > \"{{ attempt }}\" 2>&1 < {{ attempt }}", "Quoted\nQuoted\nBare"),
            ("sh -c 'cat' < {{ attempt }}", "Bare"),
            ("echo bash -c \"{{ attempt }}\"", "Quoted"),
            ("printf '%s %s' sh -c {{ attempt }}; grep sh -c {{ attempt }}", "Bare\nBare"),
            ("timeout {{ attempt }} make -c {{ attempt }}", "Bare\nBare"),
            ("flock {{ attempt }} cc -c {{ attempt }}", "Bare\nBare"),
            ("timeout 5 sh -c 'ls -- \"$1\"' sh {{ attempt }}", "Bare"),
            ("python3 -c 'import sys' {{ attempt }} && perl -e 'x' {{ attempt }}", "Bare\nBare"),
            ("python3 -m pytest -c {{ attempt }}; node app.js -e {{ attempt }}", "Bare\nBare"),
            ("python3 - {{ attempt }} <<'E'\nE", "Bare"),
            ("python3 -mpytest -c {{ attempt }}; python3 -c 'import sys' -c {{ attempt }}", "Bare\nBare"),
            (
                "python3 -c 'x' --x={{ attempt }} -c{{ attempt }}; python3 -cx {{ attempt }}",
                "Bare\nBare\nBare",
            ),
            ("echo '{\"v\": \"'{{ attempt }}'\"}' | python3 -mjson.tool", "Bare"),
            ("echo {{ attempt }} | python3 -m json.tool; echo {{ attempt }} | python3 -c x -", "Bare\nBare"),
            ("cat <<E | python3 -Imjson.tool --indent 2\n{{ attempt }}\nE", "Quoted"),
            ("curl \"{{ attempt }}\" | bash -s -- -c {{ attempt }}", "Quoted\nBare"),
            ("echo {{ attempt }} | ssh host 'read -r v; ls -- \"$v\"'", "Bare"),
            ("echo {{ attempt }} | xargs sh deploy.sh || sh", "Bare"),
            ("echo {{ attempt }} | tee x; sh x", "Bare"),
            ("echo {{ attempt }}; { make; } | sh", "Bare"),
            ("if [ -e x ]; then echo {{ attempt }}; fi; for i in 1; do make; done | sh", "Bare"),
            ("cat <<E > x; make | sh\n{{ attempt }}\nE", "Quoted"),
            ("cat <<E | grep x\n{{ attempt }}\nE\nmake | sh", "Quoted"),
            ("diff <(echo {{ attempt }}) x", "Bare"),
            (". ./{{ attempt }}.sh", "Bare"),
            ("awk -v n={{ attempt }} -F {{ attempt }} '{ print n }' {{ attempt }}", "Bare\nBare\nBare"),
            ("awk 'n=$1' {{ attempt }} <<E\n{{ attempt }}\nE", "Bare\nQuoted"),
            ("awk -f {{ attempt }} v={{ attempt }} {{ attempt }}", "Bare\nBare\nBare"),
            ("gawk --source='{ print }' {{ attempt }}", "Bare"),
            ("sed s/x/y/ {{ attempt }}; sed -n -e 1p -i.bak {{ attempt }}", "Bare\nBare"),
            ("sed 's=x=y=' {{ attempt }} | sed -f {{ attempt }}", "Bare\nBare"),
            ("echo {{ attempt }} | sed s/x/y/ | awk '{ print }' | make x", "Bare"),
            (
                "make -C {{ attempt }} -f {{ attempt }} -j{{ attempt }} {{ attempt }}",
                "Bare\nBare\nBare\nBare",
            ),
            ("VERSION={{ attempt }} make <<E\n{{ attempt }}\nE", "Bare\nQuoted"),
            ("env -u {{ attempt }} A={{ attempt }} make", "Bare\nBare"),
            ("tclsh x.tcl {{ attempt }}; expect -f x.exp {{ attempt }}", "Bare\nBare"),
            ("gnuplot -persist -c x.gp {{ attempt }} <<E\n{{ attempt }}\nE", "Bare\nQuoted"),
            ("gnuplot -persist -e 'plot x' <<E\n{{ attempt }}\nE", "Quoted"),
            ("php -f x.php <<E\n{{ attempt }}\nE\nnode --eval='x' <<E\n{{ attempt }}\nE", "Quoted\nQuoted"),
            ("strace -o {{ attempt }} make {{ attempt }}; at -f x {{ attempt }}", "Bare\nBare\nBare"),
            ("echo {{ attempt }} | xargs sh -c 'ls -- \"$@\"' sh", "Bare"),
            ("bash -c 'cat' bash -c {{ attempt }} <<E\n{{ attempt }}\nE", "Bare\nQuoted"),
        ] {
            assert_eq!(forms("bash", script), form, "{script}");
        }
    }

    #[test]
    fn an_operand_of_make_is_an_id_or_the_authors_own() {
        for script in [
            "make {{ params.v }}",
            "make -s -- \"{{ params.v }}\"",
            "sudo -n make -C x {{ params.v }} all",
            // It is the rest of `test-x:=$(shell …)` or `test-x!=…`.
            "make \"test-{{ params.v }}\"",
            "make test-{{ attempt }}-{{ params.v }}",
        ] {
            assert!(forms("bash", script).ends_with("(shell injection)"), "{script}");
        }
        for (script, form) in [
            ("make {{ run.id }} \"test-{{ attempt }}\"", "Bare\nQuoted"),
            ("make {{ \"a b\" }} {{ params.v | raw }}", "Bare\nText"),
            ("make -C {{ params.v }} -- all; echo {{ params.v }}", "Bare\nBare"),
            ("V={{ params.v }} make all > \"{{ params.v }}\"", "Bare\nQuoted"),
        ] {
            assert_eq!(forms("bash", script), form, "{script}");
        }
        let in_quotes = forms("bash", "make 'x {{ attempt }}'");
        assert!(in_quotes.contains("inside single quotes"), "{in_quotes}");
    }

    #[test]
    fn no_value_is_a_name_of_a_variable() {
        for script in [
            "read {{ attempt }}",
            "read -r x \"y_{{ attempt }}\"",
            "unset \"a[{{ attempt }}]\"",
            "unset -v {{ attempt }}",
            "printf -v \"{{ attempt }}\" x",
            "printf -v\"{{ attempt }}\" x",
            "[ -v {{ attempt }} ]",
            "if ! test -v \"x{{ attempt }}\"; then :; fi",
            "while read -r {{ attempt }}; do :; done",
            "[ \"-v\" {{ attempt }} ]",
            "printf \"-v\" {{ attempt }} x",
            "declare \"{{ attempt }}\"",
            "declare \"x_{{ attempt }}=1\"",
            "declare a=1 \"{{ attempt }}=1\"",
        ] {
            assert!(forms("bash", script).contains("of the name of a variable"), "{script}");
        }
        for script in [
            "\\eval {{ attempt }}",
            "'trap' \"{{ attempt }}\" EXIT",
            "alias x=\"ls {{ attempt }}\"",
            "> log trap \"{{ attempt }}\" EXIT",
            "integer n={{ attempt }}",
        ] {
            assert!(forms("bash", script).contains("which runs them as code"), "{script}");
        }
        for (script, form) in [
            ("unset -f {{ attempt }}", "Bare"),
            ("typeset -f {{ attempt }}", "Bare"),
            ("read -r x <<< \"{{ attempt }}\"", "Quoted"),
            ("read -rp \"{{ attempt }}: \" x", "Quoted"),
            ("read -t {{ attempt }} x", "Bare"),
            ("printf '%s' -v {{ attempt }}", "Bare"),
            ("[ \"{{ attempt }}\" = x ] && test -n {{ attempt }}", "Quoted\nBare"),
            ("declare -a x=({{ attempt }} \"{{ attempt }}\") y={{ attempt }}", "Bare\nQuoted\nBare"),
            ("args=(test -v {{ attempt }})", "Bare"),
            ("test() { make {{ attempt }}; }", "Bare"),
            ("case x in\ntest) make {{ attempt }};;\nesac", "Bare"),
            ("export X={{ attempt }} Y=\"{{ attempt }}\"", "Bare\nQuoted"),
        ] {
            assert_eq!(forms("bash", script), form, "{script}");
        }
    }

    #[test]
    fn positions_that_shells_do_not_share_are_refused() {
        let said: Vec<String> = [
            "echo '{{ attempt }}'",
            "echo `cat {{ attempt }}`",
            "echo $((1 + {{ attempt }}))",
            "echo ${x:-{{ attempt }}}",
            "echo \"${x:-{{ attempt }}}\"",
            "[[ {{ attempt }} -gt 1 ]]",
            "[[ \"{{ attempt }}\" -gt 1 ]]",
            "eval {{ attempt }}; echo {{ attempt }}",
            "eval \"echo $(echo {{ attempt }}) {{ attempt }}\"",
            "let x=1 y={{ attempt }}",
            "a[{{ attempt }}]=1",
            "a[\"{{ attempt }}\"]=1",
            "echo \\{{ attempt }}",
            "echo \"\\{{ attempt }}\"",
            "echo ${{ attempt }}",
            "echo \"${{ attempt }}\"",
            "cat <<'EOF'\n{{ attempt }}\nEOF",
            "cat <<EOF\n`x`{{ attempt }}\nEOF",
            "cat <<EOF\n\\{{ attempt }}\nEOF",
            "cat <<EOF\n{{ attempt }}",
            "cat <<EO\"F\"\n{{ attempt }}\nEOF",
            "cat <<{{ attempt }}",
            "echo $(cat <<E)\nE\n{{ attempt }}",
            "(case x in x) echo {{ attempt }};; esac)",
            "echo $'it\\'s' {{ attempt }}",
            "echo \"${x#'}'}\" {{ attempt }}",
            "((x = 1))\necho {{ attempt }}",
            "echo $[1] {{ attempt }}",
        ]
        .map(|script| format!("{script:?}\n    {}", forms("sh", script)))
        .into();
        insta::assert_snapshot!(said.join("\n"), @r#"
        "echo '{{ attempt }}'"
            a value cannot stand inside single quotes, where the shell expands nothing
        "echo `cat {{ attempt }}`"
            a value cannot stand inside backticks
        "echo $((1 + {{ attempt }}))"
            a value cannot stand in arithmetic, where shells evaluate it as code
        "echo ${x:-{{ attempt }}}"
            a value cannot stand inside ${ … }
        "echo \"${x:-{{ attempt }}}\""
            a value cannot stand inside ${ … }
        "[[ {{ attempt }} -gt 1 ]]"
            a value cannot stand inside [[ … ]], where shells may evaluate it as arithmetic
        "[[ \"{{ attempt }}\" -gt 1 ]]"
            a value cannot stand inside [[ … ]], where shells may evaluate it as arithmetic
        "eval {{ attempt }}; echo {{ attempt }}"
            a value cannot stand in the arguments of `eval`, which runs them as code
        Bare
        "eval \"echo $(echo {{ attempt }}) {{ attempt }}\""
            Bare
        a value cannot stand in the arguments of `eval`, which runs them as code
        "let x=1 y={{ attempt }}"
            a value cannot stand in the arguments of `let`, which runs them as code
        "a[{{ attempt }}]=1"
            a value cannot stand after an open [ of the same word: shells evaluate subscripts
        "a[\"{{ attempt }}\"]=1"
            a value cannot stand after an open [ of the same word: shells evaluate subscripts
        "echo \\{{ attempt }}"
            a value cannot stand right after a backslash
        "echo \"\\{{ attempt }}\""
            a value cannot stand right after a backslash
        "echo ${{ attempt }}"
            a value cannot stand right after a dollar sign
        "echo \"${{ attempt }}\""
            a value cannot stand right after a dollar sign
        "cat <<'EOF'\n{{ attempt }}\nEOF"
            a value cannot stand in a here-document whose word is quoted, where the shell expands nothing
        "cat <<EOF\n`x`{{ attempt }}\nEOF"
            a value cannot stand in a here-document with substitutions other than $name and ${name}
        "cat <<EOF\n\\{{ attempt }}\nEOF"
            a value cannot stand right after a backslash
        "cat <<EOF\n{{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "cat <<EO\"F\"\n{{ attempt }}\nEOF"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "cat <<{{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "echo $(cat <<E)\nE\n{{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "(case x in x) echo {{ attempt }};; esac)"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "echo $'it\\'s' {{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "echo \"${x#'}'}\" {{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "((x = 1))\necho {{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "echo $[1] {{ attempt }}"
            a value cannot stand here: the quoting cannot be followed from line 1 of the script on
        "#);
    }

    #[test]
    fn other_shells_have_more_or_nothing() {
        assert_eq!(forms("/bin/bash", "((x = 1)); echo $'it\\'s' {{ attempt }}"), "Bare");
        assert_eq!(forms("zsh", "for ((i = 0; i < 3; i++)); do echo {{ attempt }}; done"), "Bare");
        assert_eq!(
            forms("bash", "(( {{ attempt }} > 1 ))").split_once(',').map(|x| x.0),
            Some("a value cannot stand in arithmetic")
        );
        assert_eq!(
            forms("python3", "print({{ attempt }}, '{{ attempt | raw }}', f\"{{ '{{' }}x}}\")"),
            "a value cannot stand in a script for `python3`, whose quoting is not known here\nText\nText"
        );
    }
}
