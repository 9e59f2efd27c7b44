use super::*;
use crate::monitor::{Pointed, ScreenView};

fn menu(screen: &str) -> Option<Menu> {
    let lines = screen.lines().map(str::to_owned).collect();
    menu_of(&Page::of(ScreenView { lines, cols: 80, ..ScreenView::default() }))
}

#[test]
fn the_highlighted_row_is_where_arrows_begin() {
    let found = menu("? Pick a colour:\n  red\n❯ green\n  blue").expect("a menu");
    assert_eq!(found.question, "Pick a colour:");
    let keys: Vec<&str> = found.options.iter().map(|option| option.keys.as_str()).collect();
    assert_eq!(keys, ["\x1b[A\r", "\r", "\x1b[B\r"]);
    assert_eq!(found.options[2].label, "blue");
}

#[test]
fn a_number_is_the_one_that_the_row_shows() {
    for (rows, expected) in [
        ("❯ 0. Keep\n  1. Drop", ["0=Keep", "1=Drop"].as_slice()),
        ("❯ 2. Keep\n  3. Drop\n  4. Hold", &["2=Keep", "3=Drop", "4=Hold"]),
        ("  3) Keep\n❯ 2) Drop", &["3=Keep", "2=Drop"]),
        ("❯ 00. Keep\n  01. Drop", &["00=Keep", "01=Drop"]),
        ("❯ [0] Keep\n  [1] Drop", &["0=Keep", "1=Drop"]),
        ("❯ 0: Keep\n  1: Drop", &["0=Keep", "1=Drop"]),
        ("❯ 2. Keep\n  2. Drop", &["2. Keep=2. Keep", "2. Drop=2. Drop"]),
        ("❯ 3) Keep\n  Drop\n  5) Hold", &["3) Keep=3) Keep", "Drop=Drop", "5) Hold=5) Hold"]),
    ] {
        let found = menu(&format!("What now?\n{rows}")).expect(rows);
        let shown: Vec<String> =
            found.options.iter().map(|option| format!("{}={}", option.id, option.label)).collect();
        assert_eq!(shown, expected, "{rows}");
    }
}

#[test]
fn numbered_menus_need_a_pointer() {
    let found = menu("│ Overwrite?     │\n│ ● 1. Yes       │\n│   2. No        │").expect("a menu");
    assert_eq!((found.question.as_str(), found.options.len()), ("Overwrite?", 2));
    assert_eq!(menu("Steps:\n1. build\n2. run"), None);
}

fn at_cursor(screen: &str) -> Option<Menu> {
    let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
    let (row, last) = (lines.len().saturating_sub(1), lines.last().cloned().unwrap_or_default());
    let view = ScreenView {
        cols: 80,
        cursor_row: u16::try_from(row).unwrap(),
        cursor_col: u16::try_from(last.chars().count()).unwrap(),
        cursor_visible: true,
        lines,
        ..ScreenView::default()
    };
    menu_at_cursor(&Page::of(view), Keys::NumberEnter)
}

#[test]
fn a_menu_above_the_cursor_is_answered_with_numbers() {
    let rows = "Do you want to proceed?\n❯ 1. Yes\n  2. Yes, and don't ask again\n  3. No, and say why (esc)";
    for below in
        ["", "\n ", "\n> ", "\n\nEnter to confirm · Esc to cancel\n ", "\n     what to do instead\n "]
    {
        let found = at_cursor(&format!("{rows}{below}")).unwrap_or_else(|| panic!("a menu: {below:?}"));
        assert_eq!(found.question, "Do you want to proceed?", "{below:?}");
        let keys: Vec<&str> = found.options.iter().map(|option| option.keys.as_str()).collect();
        assert_eq!(keys, ["1\r", "2\r", "3\r"], "{below:?}");
    }
    let codex =
        "Allow it?\n› 1. Yes, proceed (y)\n  2. No (esc)\n\n  Press enter to confirm or esc to cancel\n ";
    assert_eq!(at_cursor(codex).map(|menu| menu.options.len()), Some(2));
}

#[test]
fn lists_in_text_are_not_menus_at_the_cursor() {
    for screen in [
        "Steps:\n  1. build\n  2. run\n> ",
        "2. an old row\n\n❯ 01. Yes\n  02. No\n",
        "> 1. a quoted list\n> 2. of somebody\n",
        "Proceed?\n❯ 1. Yes\n  2. No\nyou chose 2\nName: ",
        "Proceed?\n❯ 1. Yes\n  2. No\nName: ",
        "",
    ] {
        assert_eq!(at_cursor(screen), None, "{screen}");
    }
}

#[test]
fn choices_beside_each_other() {
    let found = menu("◆  Install now?\n│  ○ Yes / ● No\n└").expect("a menu");
    assert!(found.question.ends_with("Install now?"), "{}", found.question);
    let keys: Vec<&str> = found.options.iter().map(|option| option.keys.as_str()).collect();
    assert_eq!(keys, ["\x1b[D\r", "\r"]);
}

fn shown(screen: &str, cursor: (usize, usize)) -> Option<(String, Vec<String>)> {
    let lines = screen.lines().map(str::to_owned).collect();
    let (cursor_row, cursor_col) = (cursor.0 as u16, cursor.1 as u16);
    let view = ScreenView { lines, cols: 80, cursor_row, cursor_col, ..ScreenView::default() };
    let labels = |menu: Menu| menu.options.into_iter().map(|option| option.label).collect();
    menu_of(&Page::of(view)).map(|menu| (menu.question.clone(), labels(menu)))
}

#[test]
fn pointers_are_told_by_the_rows_beside_them() {
    for sign in ["»", "‣", "❱", "⮞", "➔", "*", "❯", "▸", ">"] {
        let found = menu(&format!("? Which? (Use arrow keys)\n   red\n {sign} green\n   blue")).expect(sign);
        let keys: Vec<&str> = found.options.iter().map(|option| option.keys.as_str()).collect();
        assert_eq!(keys, ["\x1b[A\r", "\r", "\x1b[B\r"], "{sign}");
        let found = menu(&format!("? Which? (Use shortcuts)\n {sign} 1) red\n   2) blue")).expect(sign);
        assert_eq!((found.options.len(), found.options[0].keys.as_str()), (2, "\r"), "{sign}");
    }
    // With boxes beside the pointer, several may be chosen.
    let found = menu("? Which? (<space> to select,\n<a> to toggle)\n » ○ red\n   ○ green").expect("a menu");
    assert_eq!((found.question.as_str(), found.options.len()), ("Which? (<space> to select,", 0));
    for text in [
        "What is new?\n » one thing that is told in\n two rows",
        "Changes:\n  * the first one, which is told in\n    two rows\n",
        "What is new?\n  * the first\n  * the second\n",
        "What is new?\n  * the first one, which is told in\n    two rows\n",
        "done\n » out.js\n   1 kB",
    ] {
        assert_eq!(menu(text), None, "{text}");
    }
}

#[test]
fn a_sign_before_the_row_above_makes_it_a_question() {
    let found = menu("? Colour (Use arrow keys)\n❯ red\n  green").expect("a menu");
    assert_eq!((found.question.as_str(), found.options.len()), ("Colour (Use arrow keys)", 2));
    assert!(menu("? Colour (Use arrow keys)\n » red\n   green").is_some());
    assert!(menu("Select a colour:\n » red\n   green").is_some());
    assert_eq!(menu("Colour (Use arrow keys)\n❯ red\n  green"), None);
}

#[test]
fn lists_of_boxes_without_a_pointer() {
    let clack = "│\n◆  Which?\n│  ◻ Alpha build\n│  ◻ Beta build\n";
    let keys = "│  ↑/↓ to navigate • Space: select • Enter: confirm\n";
    let prompts = "? Which? ›\nInstructions:\n    ↑/↓: Highlight option\n    a: Toggle all\n    enter/return: Complete answer\n◯   Alpha build\n◯   Beta build";
    for screen in [
        format!("{clack}└\n"),
        format!("{clack}{keys}└\n"),
        format!("◆  Which?\n│  ◻ one\n│  └ ◻ Alpha\n│  ◻ two\n│  └ ◼ Beta\n{keys}└"),
        prompts.to_owned(),
        "? Which? › - space to select\n◯   Alpha build\n◉   Beta build".to_owned(),
        "? Which? …\n✔ Alpha build\n✔ Beta build".to_owned(),
    ] {
        let found = menu(&screen).unwrap_or_else(|| panic!("{screen}"));
        assert!(found.question.contains("Which?") && found.options.is_empty(), "{screen}: {found:?}");
    }
    for text in [
        "? Which? red\nsteps\n✔ built\n✔ tested\n",
        "◯   Alpha build\n◯   Beta build",
        "? Which?\n◯   Alpha\n◯   Beta\nInstalling the dependencies",
    ] {
        assert_eq!(menu(text), None, "{text}");
    }
}

#[test]
fn a_list_below_the_cursor_at_the_end_of_its_question() {
    let rows = "Alpha build\nBeta build\nGamma deploy";
    let labels = Vec::new();
    assert_eq!(shown(&format!("? Which auto? …\n{rows}"), (0, 16)), Some(("Which auto?".to_owned(), labels)));
    assert!(shown("? Which sort? …  (Use <shift>)\n  Alpha\n  Beta\n\n↑↓ navigate", (0, 30)).is_some());
    for (text, cursor) in [
        (format!("? Which auto? …\n{rows}"), (4, 0)),
        (format!("? Which auto? …\n{rows}"), (0, 3)),
        (format!("Which auto? …\n{rows}"), (0, 13)),
        (format!("? Which auto? …\n{rows}\n\nInstalling the dependencies"), (0, 16)),
        ("? Name …\nAlpha".to_owned(), (0, 9)),
    ] {
        assert_eq!(shown(&text, cursor), None, "{text}");
    }
}

#[test]
fn a_row_that_is_pointed_at_by_its_color() {
    let colored = |screen: &str, row: u16| {
        let lines = screen.lines().map(str::to_owned).collect();
        let view = ScreenView {
            lines,
            cols: 80,
            pointed: Some(Pointed { row, by: PointedBy::Ground }),
            ..ScreenView::default()
        };
        menu_of(&Page::of(view)).map(|menu| menu.question)
    };
    let boxed = "┌ Which mailbox? ──┐\n│Inbox             │\n│Sent              │\n└──────────────────┘";
    assert_eq!(colored(boxed, 1).as_deref(), Some("Which mailbox?"));
    assert_eq!(colored("Pick one\n  a\n  b", 2).as_deref(), Some("Pick one"));
    assert_eq!(colored("MiB Mem : 3 total\nPID USER\n  1 root\n  2 root", 1), None);
    assert_eq!(colored("Which?\n  a", 1), None);
}

#[test]
fn pointers_of_two_signs() {
    let found =
        menu("What now?\n-> Keep mine\n   Take theirs\n   Merge\n\n(enter to confirm)").expect("a menu");
    let labels: Vec<&str> = found.options.iter().map(|option| option.label.as_str()).collect();
    assert_eq!(labels, ["Keep mine", "Take theirs", "Merge"]);
    assert_eq!(menu("ln -s a b\na -> b\nc -> d"), None);
}

#[test]
fn a_list_that_somebody_moves_through_need_not_ask() {
    let open = |screen: &str, visible: bool, cursor: (u16, u16)| {
        let lines = screen.lines().map(str::to_owned).collect();
        let (cursor_row, cursor_col) = cursor;
        menu_of(&Page::of(ScreenView {
            lines,
            cols: 80,
            cursor_visible: visible,
            cursor_row,
            cursor_col,
            ..ScreenView::default()
        }))
    };
    let boxes = "Which disks?\n[x] sda\n[ ] sdb\n[ ] sdc";
    assert!(open(boxes, false, (0, 0)).is_some());
    assert!(open(boxes, true, (4, 0)).is_some(), "the cursor rests below it");
    assert!(open(boxes, true, (4, 3)).is_none());
    assert!(open(&boxes.replace("Which disks?", "Some disks"), true, (4, 0)).is_none());
    let list = "Fruit for the report\n> apple\n  banana\n  orange\n(Press / to search)";
    assert_eq!(open(list, false, (1, 0)).map(|menu| menu.options.len()), Some(3));
    assert!(open(list, true, (5, 2)).is_none());
    assert!(open("Fruit\n> apple\n  banana", false, (1, 0)).is_none(), "two rows are often a log");
}

#[test]
fn rows_that_cannot_be_chosen_are_a_part_of_a_menu() {
    for rows in [
        "❯ east\n ──────────────\n- west (down)\n  north",
        "- west (down)\n❯ east\n  north",
        "  north\n- west (down)\n❯ east",
    ] {
        let found = menu(&format!("? Where to?\n{rows}\n\n↑↓ navigate • ⏎ select")).expect(rows);
        assert_eq!((found.question.as_str(), found.options.len()), ("Where to?", 0), "{rows}");
    }
    assert_eq!(menu("? Where to?\n❯ east\n- west (down)"), None);
    assert_eq!(menu("Changes?\n❯ east\n- west\n- north"), None);
}

#[test]
fn other_lists_are_no_menus() {
    assert_eq!(menu("> quoted text\n> more of it"), None);
    assert_eq!(menu("some log\n  indented"), None);
}

#[test]
fn a_question_in_a_box_is_no_option_of_its_menu() {
    let found = menu("┃ Which model?\n┃ > small\n┃   medium\n┃   large").expect("a menu");
    let labels: Vec<&str> = found.options.iter().map(|option| option.label.as_str()).collect();
    assert_eq!((found.question.as_str(), &labels[..]), ("Which model?", &["small", "medium", "large"][..]));
    // An option that reads as a question does is one, as it is indented as the others are.
    let found = menu("│ Which files?\n│   Select all\n│ › src\n│   tests").expect("a menu");
    let labels: Vec<&str> = found.options.iter().map(|option| option.label.as_str()).collect();
    assert_eq!((found.question.as_str(), &labels[..]), ("Which files?", &["Select all", "src", "tests"][..]));
}

#[test]
fn choices_in_a_row_are_parted_by_strokes_or_blanks() {
    for row in ["● Yes / ○ No", "         ● Yes  ○ No "] {
        let found = menu(&format!("  deps   Install dependencies?\n{row}")).expect(row);
        let options: Vec<(&str, &str)> =
            found.options.iter().map(|option| (option.label.as_str(), option.keys.as_str())).collect();
        assert_eq!(options, [("Yes", "\r"), ("No", "\x1b[C\r")], "{row}");
    }
    assert!(menu("Install dependencies?\n● Yes ○").is_none());
    for legend in ["Services:\n● web  ○ worker  ○ db", "3 of 4 are up\n● running  ○ stopped"] {
        assert!(menu(legend).is_none(), "{legend}");
    }
}
