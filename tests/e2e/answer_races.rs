//! Many people answer one question of a session on another node at the same moment: one answer is typed.

use std::thread;

use crate::federation::{events, execute, member};
use crate::harness::Cis;
use crate::harness::synapse::Synapse;
use crate::matrix::logged_in;
use crate::rooms::{room_of, waits};

/// What came after the first answer is read as well, if anything did. `OVER` is a file.
const TEXT: &str = r#"
version = 1
[dag]
id = "race"
[[tasks]]
id = "a"
nodes = ["builder"]
command = ["bash", "-c", '''
printf 'Whose turn? '; read -r turn
until [ -e OVER ]; do sleep 0.05; done
while read -r -t 0.2 more; do turn="$turn and $more"; done
echo "turn=$turn" >> "$CIS_OUTPUT"
''']
outputs = { turn = { type = "string" } }
"#;

/// At each of three nodes so many people answer, each so often.
fn race(people: usize, answers: usize) {
    let synapse = Synapse::shared();
    let ((cis, _), ann) = (logged_in(&synapse), synapse.register("ann"));
    let room = room_of(&cis, &ann);
    let worker = member(&synapse, &room, &ann, &cis, ("builder", "worker", "execute,submit"));
    let guest = member(&synapse, &room, &ann, &cis, ("guest", "observer", "submit"));
    let over = cis.work().join("over");
    let run = execute(&cis, &room, &TEXT.replace("OVER", &over.display().to_string()));
    let item = waits(&cis, "Whose turn?");
    let nodes: [(&str, &Cis); 3] = [("cis", &cis), ("builder", &worker), ("guest", &guest)];
    for (_, node) in nodes {
        assert_eq!(waits(node, "Whose turn?"), item);
    }
    let answer = |(name, node): (&str, &Cis), person: usize, n: usize| {
        let text = format!("{name} {person} {n}");
        let said = node.run(["answer", &item, "--text", &text]);
        (said.code == Some(0)).then_some(text)
    };
    let taken: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = (0..people)
            .flat_map(|person| nodes.map(|node| (node, person)))
            .map(|(node, person)| {
                let answer = &answer;
                scope.spawn(move || (0..answers).filter_map(|n| answer(node, person, n)).collect::<Vec<_>>())
            })
            .collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert!(taken.len() <= 1, "{taken:?}");
    std::fs::write(over, "").unwrap();
    cis.wait_run(&run, "succeeded");
    let answered = events(&cis, &run, "cis.dag.session.answered");
    assert_eq!(answered.len(), 1, "{answered:?}");
    let typed = &cis.task(&run, "a")["outputs"]["turn"];
    assert_eq!((typed, 1), (&answered[0]["body"]["text"], typed.as_str().unwrap().lines().count()));
    assert!(taken.iter().all(|text| *typed == **text), "{taken:?} {typed}");
}

#[test]
fn one_of_many_answers_from_three_nodes_is_typed() {
    race(3, 2);
}

#[test]
#[ignore = "it starts 1,000 commands: cargo xtask test-all"]
fn one_of_a_thousand_answers_from_three_nodes_is_typed() {
    race(12, 28);
}
