//! Lists through which somebody moves at the terminal: the same prompt, whatever is marked.

use crate::monitor::ReaderHow::{Poll, Read};
use crate::monitor::TypedKeys;
use crate::monitor::arbiter::story::{LINES, RAW, Story};

/// The cursor stands in this row and column.
fn shows(story: &mut Story, screen: &str, (row, col): (u16, u16)) {
    story.puts(screen);
    (story.view.cursor_row, story.view.cursor_col) = (row, col);
    story.bytes(screen.len() as u64);
}

#[test]
fn a_mark_that_somebody_moves_makes_no_second_prompt() {
    let mut story = Story::plain();
    story.reads("inq", Poll, RAW);
    let list = |marked: usize| {
        let rows = ["eu-central", "us-east", "ap-south"].iter().enumerate();
        let rows = rows.map(|(at, name)| format!("{} {name}\n", if at == marked { '>' } else { ' ' }));
        format!(
            "? Which region should host the station?\n{}[↑↓ to move, enter to select]\n",
            rows.collect::<String>()
        )
    };
    shows(&mut story, &list(0), (0, 40));
    story.pass(4000);
    assert_eq!(
        story.take(),
        "  2500 blocked 1 question by kernel: ? Which region should host the station?\n"
    );
    for marked in [1, 2, 1] {
        story.typed_keys(TypedKeys::Move);
        shows(&mut story, &list(marked), (0, 40));
        story.pass(9000);
    }
    assert_eq!(story.take(), "");
    // It is answered, and the next list is another one.
    story.typed();
    shows(
        &mut story,
        "? Which region should host the station? us-east\n? Features:\n> [ ] mail\n  [ ] web\n[space to select]\n",
        (1, 12),
    );
    story.pass(4000);
    let told = story.take();
    assert!(told.contains("over 1\n") && told.contains("blocked 2 question"), "{told}");
    story.typed_keys(TypedKeys::Mark);
    shows(
        &mut story,
        "? Which region should host the station? us-east\n? Features:\n  [ ] mail\n> [x] web\n[space to select]\n",
        (1, 12),
    );
    story.pass(9000);
    assert_eq!(story.take(), "");
}

/// Colors are not in the text: nothing seems to have changed.
#[test]
fn a_list_whose_mark_is_a_color_stays_the_same_prompt() {
    const LIST: &str =
        "Use the arrows, Enter selects\n\n  Import the readings\n  Export the readings\n  Leave\n";
    let mut story = Story::plain();
    story.reads("bash", Read, RAW).view.cursor_visible = false;
    shows(&mut story, LIST, (5, 0));
    story.pass(6000);
    assert!(story.take().contains("blocked 1"));
    story.typed_keys(TypedKeys::Move);
    shows(&mut story, LIST, (5, 0));
    story.pass(9000);
    assert_eq!(story.take(), "");
    // Enter chooses, and the program shows the same list again.
    story.typed();
    shows(&mut story, LIST, (5, 0));
    story.pass(9000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2"), "{told}");
    story.typed_keys(TypedKeys::Move);
    shows(&mut story, &LIST.replace("Import", "Delete"), (5, 0));
    story.pass(9000);
    assert!(story.take().contains("over 2"), "it is another list");
}

#[test]
fn a_key_at_a_prompt_for_any_key_is_an_answer() {
    const PROMPT: &str = "The tape is full.\nPress any key to continue";
    for key in [TypedKeys::Mark, TypedKeys::Answer] {
        let mut story = Story::plain();
        story.reads("bash", Read, RAW).view.cursor_visible = false;
        story.shows(PROMPT).pass(6000);
        assert!(story.take().contains("blocked 1"));
        story.typed_keys(key).shows(PROMPT).pass(6000);
        let told = story.take();
        assert!(told.contains("over 1") && told.contains("blocked 2"), "{key:?}: {told}");
    }
}

/// A program clears the screen after each answer, and asks the same.
#[test]
fn the_same_question_after_an_answer_is_another_prompt() {
    let mut story = Story::plain();
    story.reads("sh", Read, RAW);
    story.shows("1) start\n2) stop\nYour choice? ").pass(3000);
    assert!(story.take().contains("blocked 1"));
    story.typed().shows("1) start\n2) stop\nYour choice? ").pass(3000);
    let told = story.take();
    assert!(told.contains("over 1") && told.contains("blocked 2"), "{told}");
}

/// The row that the cursor is in asks nothing, and the choices above and below it do not tell which one is marked.
#[test]
fn a_menu_in_a_box_whose_mark_is_a_color_stays_the_same_prompt() {
    const BOX: &str = "┌──── Station ────┐\n│ What should be done now?\n│\n│   Import\n│   Export\n│   Calibrate\n│\n│  ┌────┐  ┌────────┐\n│  │ Ok │  │ Cancel │\n│  └────┘  └────────┘\n└─────────────────┘\n";
    let mut story = Story::plain();
    story.reads("newt", Poll, RAW).view.cursor_visible = false;
    story.view.alternate = true;
    shows(&mut story, BOX, (3, 4));
    story.pass(6000);
    assert!(story.take().contains("blocked 1"));
    story.typed_keys(TypedKeys::Move);
    shows(&mut story, BOX, (4, 4));
    story.pass(9000);
    assert_eq!(story.take(), "");
}

#[test]
fn a_turning_bar_in_front_of_a_question_makes_no_second_prompt() {
    let mut story = Story::plain();
    story.reads("python3", Poll, LINES);
    for turn in 0..40 {
        let bar = ["|", "/", "-", "\\"][turn % 4];
        story.shows(&format!("{bar} Uploading is paused. Resume (y/n)? ")).pass(300);
    }
    let told = story.take();
    assert!(told.contains("blocked 1 permission") && !told.contains("over"), "{told}");
}
