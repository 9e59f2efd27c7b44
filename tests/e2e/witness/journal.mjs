// A run's journal: entries chained by hash, and the numbers of what a node sends.

import { digest } from "./envelope.mjs";

export const JOURNAL = "cis.dag.run.journal";

/** Entries of one run's envelopes, in the order of the room, and what is wrong with them. */
export function journalOf(run, contents) {
  const [entries, heads, faults] = [[], [], []];
  let n = 0;
  let head = digest({ run, type: JOURNAL });
  for (const { body, epoch } of contents) {
    if (!body.entries) {
      faults.push("a part of the journal is a file, and this reader fetches none");
      continue;
    }
    if (body.first !== n + 1 || body.prev !== head) faults.push(`journal: ${body.first} does not follow ${n}`);
    for (const entry of body.entries) {
      n += 1;
      head = digest({ entry, epoch, n, prev: head, run });
      entries.push(entry.type);
      heads.push(head);
    }
  }
  return { entries, heads, faults };
}

/** What is wrong with the numbers of a sender, in the order of the room. */
export function gaps(seqs) {
  const [faults, last] = [[], new Map()];
  for (const { incarnation, n } of seqs) {
    const expected = (last.get(incarnation) ?? 0) + 1;
    if (n !== expected) faults.push(`seq: ${incarnation}/${n} where ${expected} is expected`);
    last.set(incarnation, n);
  }
  return faults;
}
