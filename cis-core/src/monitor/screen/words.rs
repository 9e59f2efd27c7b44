//! The words and forms by which programs that nobody wrote a profile for tell what they want.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $($text:literal),+;)*) => {
        $($(#[$doc])* pub(super) static $name: LazyLock<Regex> = LazyLock::new(|| pattern(concat!($($text),+)));)*
    };
}

words! {
    /// Command names of editors.
    EDITORS = r"^(r?vim?|nvim|view|vimdiff|gvim|nano|rnano|pico|emacs(client)?|joe|jmacs|jpico|jstar|jed|micro|hx|helix|kak|ne|mcedit|mg|zile|e3.*|tilde|le|amp|kibi|vis|nvi|elvis|levee|jove|uemacs|em|dte|aee?)(\.\w+)?$";
    /// Editors that read a line at a time, and may show no prompt.
    LINE_EDITORS = r"^(ed|red|ex)$";
    /// What editors show beside their text.
    EDITOR_SCREEN = r"^-- [A-Z][A-Z -]+ --|\^G (Help|Get Help|Hilfe|Aide)|\^X (Exit|Beenden|Quitter)|-UU?U?:[-*%]{2}|^\[No Name\]";
    /// Where the cursor of an editor is in its text, in a row of its own or with its name.
    POSITION = r"(?i:\b(line|ln|row|zeile|ligne)\b[:. ]*\d+\D+\b(col|column|spalte)\b[:. ]*\d+)";
    /// Keys that change a text.
    EDITS = r"(?:\^\w|\bF\d{1,2}|\b[CM]-\w|(?i:\b(?:ctrl|alt)[-+ ]\w))\s?:?\s?(?:Save|Undo|Redo|Cut|Paste)\b";
    /// The row of dashes below a text, with its name, that editors like Emacs have.
    MODE_LINE = r"^-{2,}[^-].*\w.*-{8,}$";
    /// A row of a hex dump begins with where it is.
    HEX = r"^[0-9A-Fa-f]{6,16}[:h]?(\s|$)";
    /// It has bytes behind that.
    HEX_BYTES = r"^[0-9A-Fa-f]{1,16}(?::\s+|\s{2,})(?:[0-9A-Fa-f]{2}\s{1,2}){6,}";
    /// Command names of programs that show text a page at a time.
    PAGERS = r"^(less|more|most|pg|lv|w3m|lynx|e?links2?|bat|moar|moor|ov|info|tig|(sensible-)?pager)$";
    /// The row below a page of text.
    PAGER_LINE = r"(?i)^:$|\(END\)$|^--\s?more\s?--|^lines \d+-\d+|\blines? \d+[-/]\d+|press RETURN to continue or q|\(press h for help or q to quit\)|^~$|^[^ ]+ \(\d+%\)|\d+/\d+ \d+%$|^\S+$";
    /// Calculators and the like that read a line and may show no prompt at all.
    SILENT = r"^(bc|dc|m4|units)$";
    /// Prompts of shells, interpreters and debuggers.
    SHELL = r"^(?:\S+ ){0,4}\S*[$#%❯➜»λ✗]$|^(?:\S+ ){0,4}\S*>$|^\([\w+-]+(?::\d+)?\)$|^\((?i:no|pas|keine?)(?: [\w+-]+){1,2}\)$|^\(%[io]\d+\)$|^\.\.\.:?$|^(?:In|Out) ?\[\d+\]:$",
        r"|^\S+@\S+ .*\s[^\s\w?:]$|^\w*\[\d+\]:?$|^\d+\]$|^sage:$|^[.;*&@!+%=-]$|^\?-$|^\|:?$";
    /// Prompts that say of themselves that they want a command.
    COMMAND = r"(?i)^(?:[\w/-]+ ){0,2}commands? ?(?:\([^()]*\))?\s?[:>]$|\bfor help\)\s?[:>]$|^\?-?$";
    /// Words of a prompt that wants something else than a command.
    WANTS = r"(?i)\b(enter|type|choose|choice|select(ion)?|pick|name|answer|input|which|what|who|how|please|value|number|options?|your|pass(word|phrase)|message|search|filter|goto|e-?mail|path|title|description|version|yes|y/n)\b";
    /// What a client asks for after a command without arguments.
    ARGUMENT = r"^\((to|from|files?|(remote|local)-\w+|user ?(name)?|host ?(name)?|name|args?|arguments?|command)\)$";
    /// How many of all are left: a list that is searched while one types.
    FINDER = r"^\s*[^\w\s]?\s*\d+/\d+(\s+\(\d+\))?[\s─-]*$";
    /// A secret, by its name.
    SECRET = r"(?i)(pass(word|phrase|code|wort|wd)|kennwort|mot de passe|contraseña|senha|wachtwoord|lösenord|hasło|heslo|parola|salasana|\bpin\b|\bsecret\b|\btoken\b|api.?key|access key|パスワード|密码|密碼|암호|비밀번호|пароль|κωδικός|otp\b|verification code)[^?？]{0,60}[^?？.\pL\pN]?\s*$";
    /// A secret, asked for in a sentence.
    SECRET_ASKED = r"(?i)^\W*(what|enter|type|your|please|the)\b.{0,40}(pass(word|phrase|code)|\bpin\b|\bsecret\b|\btoken\b|api.?key)\s?[?？][\s*•●]*$|^\W*((?-i:\p{Lu}{2,5}) )?(pass(word|phrase|code)|pin|secret|token|api.?key)\b.{0,30}[?？][\s*•●]*$";
    /// A user's name, or a login with a provider.
    LOGIN = r"(?i)^(?:prompt: )?(?:enter |your |please |the |a )*(?:[\w.-]+ )?(user ?name|user ?id|login( ?name| ?id)?|log ?in as|benutzer(name)?|nom d.utilisateur|identifiant|usuario|utente|gebruikersnaam|użytkownik|имя пользователя|ユーザー名|用户名|account)\b(?: ?[^\d?\s:：>][^?]{0,80})?[:：>]\s*$",
        r"|^user\s?(\([^)]*\))?\s?[:：]\s*$|^Name \([\w.-]+:[^)]*\):$|\blogin:\s*$|(sign|log) ?in (with|to|using)|log into|enter (this|the) (one-time )?code|\benter code from\b|one-time code|device code|paste (the |your )?(authori[sz]ation )?(code|token)|authenticate (with|in|to) |how would you like to (authenticate|log ?in|sign ?in)|authentication method";
    /// An address, which is a user's name where it stands below words of a login.
    ADDRESS = r"(?i)^(?:enter |your |please )*e-?mail( address)?\b[^?]{0,40}[:：>]\s*$";
    /// Words of a login.
    ENTRY = r"(?i)\b(log ?in|sign ?in|log on|credentials|anmeld|connexion)";
    /// How find and xargs ask, by their standard.
    EACH = r"\?\.\.\.$|^< .* >\s?\?$";
    /// A line at the bottom of an editor that takes words.
    ENTERS = r"^\p{Lu}\pL+( \(?[\pL.]+\)?){0,5}( \[[^\]]*\])?: ?\S*$";
    /// Whether somebody or something is to be trusted.
    TRUST = r"(?i)fingerprint|authenticity of|do you trust|trust (this|the) |trust[^.]{0,40}\?|\bcertificate\b.{0,60}(accept|trust|reject|continue)|(accept|trust) .{0,30}\bcertificate\b|\(R\)eject, accept|import .{0,30}\bkey\b|continue connecting|store key in cache|unknown (host|key)|no host key|use this key anyway|belongs to the person|self.signed";
    /// Something failed, and may be tried again.
    ERROR = r"(?i)\babort\b.{0,20}\b(retry|ignore|skip)\b|\b(retry|ignore|skip)\b.{0,20}\babort\b|\b(retry|try again)\b[^.]{0,30}[?\])]|\((r)\)etry|\[r\]etry|erneut versuchen|réessayer|reintentar|повторить|再試行|重试";
    /// Something failed.
    FAILED = r"(?i)\b(error|failed|failure|fatal|cannot|could not|unable to|conflict|fehler|erreur)\b";
    /// The provider says when it goes on.
    LIMIT = r"(?i)rate.?limit(ed|s)?\b|usage limit|quota (exceeded|reached)|too many requests|limit reached";
    /// What a program asks leave for.
    PERMITS = r"(?i)\b(proceed|continue|overwrite|replace|remove|delete|erase|wipe|unlink|destroy|drop|install|uninstall|upgrade|update|allow|approve|permit|accept|agree",
        r"|execute|run|apply|perform|commit|push|discard|reset|format|write|modify|kill|stop|restart|reboot|shut ?down|abort|quit|exit|leave|purge|prune|clean|download|fetch|send|submit|save|rename|empty|close|unmount|mount|eject|extract|unpack|reload|encrypt|decrypt|rebuild|repair|fix|recover|salvage|clone|upload|lock|unlock|reinstall|disable|switch|resume|detach|disconnect|log ?out|sign ?out|archive|trash|convert|flush|resize|initiali[sz]e|migrate|start|launch|open|copy|import|export|restore|stage|add this|register|subscribe|pay|buy",
        r"|are you sure|sure|is th(is|at) ok(ay)?|ok\?|confirm|really|reopen|move|override|create|make|deploy|release|publish|merge|revert|undo|terminate|clear|truncate|grant|do you want to|want to|shall i|should i|may i|can i|go ahead|okay to",
        r"|weiter|fortfahren|löschen|überschreiben|ersetzen|entfernen|wirklich|sicher|speichern|beenden|installieren|ausführen|continuer|supprimer|écraser|remplacer|voulez|sûr|enregistrer|quitter|eliminar|sobrescribir|desea|seguro|borrar|guardar|salir|continuar|continuare|eliminare|sovrascrivere|sicuro|excluir|substituir|doorgaan|verwijderen|overschrijven|usunąć|nadpisać|kontynuować|продолжить|удалить|перезаписать|вы уверены|сохранить|выйти)\b",
        r"|続行|上書き|削除|実行|保存|終了|よろしい|继续|覆盖|删除|保存|退出|确定|繼續|계속|삭제|덮어";
    /// Leave for what is about to happen, however the sentence begins.
    LEAVE = r"(?i)\b(are you sure|is th(is|at) ok(ay)?|(want|like|wish) (me |us |it )?to (proceed|continue|install|overwrite|replace|remove|delete|erase|run|execute|upgrade|update|save|exit|quit|apply|download|restart|reboot|stop|abort|discard|publish|push|create the|go on)|is it (ok|okay|all ?right|fine|safe) to|do you really|use .{0,40} anyway)\b|\bok(ay)?\s?\?|\babout to be \w+ed\b|\boverwritten\b";
    /// How something is or shall be.
    PREFERS = r"(?i)^(?:\W*\d+\s?(?:/|of)\s?\d+\W+)?\W*(would you like|do you (like|have|use|prefer|want to (use|add|enable|include|customi[sz]e|configure))|use |enable |include |add |is |are |does |did |have you|has |was |were |which |what |how |who |where |when |why |will (you|it|this) (be using|use|have|support) |should (this|the|it)( \w+)? (connect|have|support|use) |ist |sind |est-ce |les informations|¿es )|see what's new";
    /// Which one, and not whether.
    CHOICE = r"(?i)^\W*(what|which|where|how|who|when|select|choose|pick|enter)\b";
    /// One of several is to be chosen.
    ONE_OF = r"(?i)^\W*(select|choose|pick|which) ";
    /// Yes in other languages, as the whole of a label.
    YES = r"(?i)^\W*(?:ja|oui|s[íi]|sim|tak|ano|áno|igen|evet|kyllä|da|да|так|ναι|はい|是|예|네)\W*$";
    /// No.
    NO = r"(?i)^\W*(?:no|nein|nej|nee|non|não|nie|ne|nem|hayır|ei|nu|нет|ні|не|όχι|いいえ|否|아니요|아니오)\W*$";
    /// Words are asked for, whatever verbs stand behind.
    NAMES = r"(?i)^\W*(the |a |an )?(new |full )?(name|title|host ?name|path|value|version|number|address|date|amount|size|colou?r|label|description|reason|message) (of|for)\b";
    /// The name of a variable, as generators of projects ask for the values of theirs.
    VARIABLE = r"^(?:\W*\d+\s?/\s?\d+\W+)?[a-z]+(?:_[a-z0-9]+)+\s*[(\[]";
    /// Leave by a word that is to be typed.
    WORD = r"(?i)\b(type|enter|answer|write) (the word )?['\x22“‘]?(yes|ok|delete)['\x22”’]? (to|if|for)\b|\bonly ['\x22“‘]?yes['\x22”’]? will be accepted";
    /// The same by a letter.
    LETTER = r"(?i)\b(type|enter|answer) ['\x22“‘]?y['\x22”’]? (to|if|for|and)\b";
    /// A row with a number, as lists of choices have.
    LISTED = r"^(?:[\[(]?\d{1,2}[\])]?\s*[-.):]|[\[(]\d{1,2}[\])])\s+\S";
    /// A sentence that says what is to be typed below it.
    TELLS = r"(?i)^\W*(please |now )?(enter|type|write|describe|give|specify|provide|choose|select|pick|input|end your) +\pL";
    /// Such a sentence tells of a command, and is no question.
    TELLS_OF = r"(?i)\b(help|exit|quit|licen[cs]e|copyright|commands?|information|warranty)\b|^\W*\pL+ ['\x22`‘“]";
    /// A row of a form: a label, and what is filled in.
    FIELD = r"^\W*\pL[\pL ]+:(\s|$)";
    /// Something stands in the way of what is to be written.
    EXISTS = r"(?i)\balready exists?\b|\bfile exists\b|existiert bereits|existe déjà|ya existe|уже существует";
    /// It may be replaced.
    REPLACES = r"(?i)\b(\(?o\)?ver-?writ|replac|clobber)|überschreib|ersetz|écraser|remplacer|sobrescrib|reemplaz|перезапис|замен";
    /// A question, with or without its answers behind it.
    ENDS_ASKING = r"[?？](\s*[(\[{][^()\[\]{}]+[)\]}]\s*:?)?$";
    /// A line that takes the answer to what the row above asks.
    TAKES = r"(?i)^(?:(?:your|enter|please|type|the|an?|make) )*(?:choice|answer|response|reply|selection|option|decision)?\s*(?:[\[(<{][^\[\](){}<>]+[\])>}])?\s*[:?>]*$";
    /// A key does something that is named, or ends the program: leave for it.
    GOES_AHEAD = r"(?i)\b(press|hit)\b.{0,30}\b(enter|return|any key|space)\b.{0,40}\bto (continue|proceed|install|apply|execute|run)\b.{0,30}\b(cancel|abort)\b|\b(press|hit)\b.{0,30}\b(enter|return|any key|space)\b.{0,10}\bto (install|apply|execute|run|delete|overwrite)\b";
    /// The same key again ends a program, or loses what was not saved.
    AGAIN = r"(?i)\b(press|hit|type) \S+( \w+)? (again|more times?|once more)\b";
    /// What it is about then.
    LEAVES = r"(?i)\b(unsaved|saved?|modified|changes|quit|exit|close|leave|discard)\b";
    /// What is typed behind the colon can be given up.
    GIVEN_UP = r"(?i)^[^:]{2,40}:\s.*[(\[<][^()]{0,30}\b(esc(ape)?|ctrl[-+ ]?[cg]|\^[cg]|c-[cg])\b\s*[:=]?\s*(to )?(cancel|abort|quit)\b";
    /// A key is to be pressed.
    ONWARD = r"(?i)\b(press|hit|strike|push)\b.{0,30}\b(any key|a key|enter|return|space)\b|taste drücken|appuyez sur|pulse |キーを押|按.{0,4}键|нажмите";
}

/// The text ends or is worded as what somebody is to answer.
pub(super) fn asks(text: &str) -> bool {
    text.ends_with([':', '：', '?', '？', '›', '‣', '▸']) || text.contains("? ") || ONWARD.is_match(text)
}
