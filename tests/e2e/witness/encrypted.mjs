// Follows an encrypted room with matrix-js-sdk from a device that its owner has verified, answers what it is asked there, and
// tells what a node said: one JSON document in the last line of stdout, after a line `ready` once it is in the room.
//
// WITNESS in the environment: url, user, device, token, password, room, modules (the folder of the packages), answers
// (words of a question: the answer), types (of events that are looked for). Ends with 1 where something is wrong (`faults`).

import { check } from "./envelope.mjs";
import { JOURNAL, gaps, journalOf } from "./journal.mjs";
import { sealed } from "./sealed.mjs";

const ENDS = ["succeeded", "failed", "error", "cancelled"];
/** What an event of an encrypted room shows to the homeserver. */
const CLEAR = ["algorithm", "ciphertext", "device_id", "m.relates_to", "sender_key", "session_id"];
/** What is never encrypted. */
const NEVER = ["m.reaction", "m.room.redaction"];

const { given, sdk, client, enter } = await sealed();

/** Events of the room by their id, decrypted where they can be, in the order in which they came. */
const events = new Map();
const answered = new Set();
let changed = () => {};

function take(event) {
  if (event.getRoomId() !== given.room || event.getId().startsWith("~") || event.isBeingDecrypted()) return;
  events.set(event.getId(), event);
  changed();
}
client.on(sdk.RoomEvent.Timeline, take);
client.on(sdk.MatrixEventEvent.Decrypted, take);

const contentOf = (event) => event.getOriginalContent();
const relationOf = (event) => event.getWireContent()["m.relates_to"] ?? contentOf(event)["m.relates_to"] ?? {};
const isEdit = (event) => relationOf(event).rel_type === "m.replace";
const related = (how, to) =>
  [...events.values()].filter((event) => relationOf(event).rel_type === how && relationOf(event).event_id === to);

/** Messages that carry this beside their words, with what they say by now. */
function told(beside) {
  const of = (event) => event.getType() === "m.room.message" && contentOf(event)[beside] && !isEdit(event);
  return [...events.values()].filter(of).map((event) => {
    // The key of one that just came may come later.
    const edits = related("m.replace", event.getId()).filter((edit) => contentOf(edit)["m.new_content"]);
    const now = edits.length ? contentOf(edits.at(-1))["m.new_content"] : contentOf(event);
    return { event, edits: edits.length, now };
  });
}

/** Each question once: a reply to it, or a command where the answer is one. */
async function answer() {
  for (const { event, now } of told("cis.dag.question")) {
    const [, words] = Object.entries(given.answers).find(([asked]) => now.body.includes(asked)) ?? [];
    if (!words || answered.has(event.getId())) continue;
    answered.add(event.getId());
    const item = now["cis.dag.question"].item;
    const content = { msgtype: "m.text", body: words.replace("ITEM", item) };
    if (!words.startsWith("!")) content["m.relates_to"] = { "m.in_reply_to": { event_id: event.getId() } };
    await client.sendEvent(given.room, "m.room.message", content);
  }
}

function envelopes() {
  const isEnvelope = (event) => event.getType().startsWith("cis.dag.") && !event.isState();
  return [...events.values()].filter(isEnvelope);
}

function journal(run) {
  const of = (event) => event.getType() === JOURNAL && contentOf(event).run === run;
  return journalOf(run, envelopes().filter(of).map(contentOf));
}

/** Whether the card tells an end, and all that is told with it is there. */
function isOver() {
  const [card] = told("cis.dag.card");
  const state = card?.now["cis.dag.card"].state;
  if (!ENDS.includes(state)) return false;
  const closed = told("cis.dag.question").every(({ now }) => now.body.includes("answered by"));
  const ends = ["completed", "failed", "error", "cancelled"].map((end) => `cis.dag.run.${end}`);
  const { entries } = journal(card.now["cis.dag.card"].run);
  const summary = told("cis.dag.summary").some(({ now }) => now.body.includes(state));
  const announced = given.types.every((type) => ofType(type).length > 0);
  return closed && summary && announced && entries.some((type) => ends.includes(type));
}

/** What is found by its type alone. */
const ofType = (type) => [...events.values()].filter((event) => event.getType() === type);

/** The bodies of announcements by type. Each names the entry of the journal that says the same. */
function announced({ entries, heads }, faults) {
  const bodies = {};
  for (const type of given.types) {
    bodies[type] = ofType(type).map((event) => contentOf(event).body);
    for (const { entry } of bodies[type]) {
      const same = entries[entry.n - 1] === type && heads[entry.n - 1] === entry.hash;
      if (!same) faults.push(`announcement: ${type} names entry ${entry.n}, which says something else`);
    }
  }
  return bodies;
}

/** What the homeserver itself shows of the room. */
async function raw() {
  const all = [];
  for (let from = ""; ; ) {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(given.room)}/messages?dir=f&limit=100${from}`;
    const page = await (await fetch(given.url + path, { headers: { Authorization: `Bearer ${given.token}` } })).json();
    all.push(...page.chunk);
    if (!page.end) return all;
    from = `&from=${encodeURIComponent(page.end)}`;
  }
}

/** What of the room's events stands there for everybody to read. */
function inClear(events) {
  const secret = (event) => !("state_key" in event) && !NEVER.includes(event.type);
  const shows = (event) => {
    if (event.type !== "m.room.encrypted") return `${event.type} is not encrypted`;
    const more = Object.keys(event.content).filter((key) => !CLEAR.includes(key));
    return more.length ? `an encrypted event shows ${more}` : null;
  };
  return events.filter(secret).map(shows).filter(Boolean);
}

/** Whether one byte more, less or other is noticed, wherever it is. */
function isRefusedAfterAChange(content, place) {
  const fields = ["id", "room", "run", "type", "sender", "did", "sig"];
  const other = (text) => text.slice(0, -1) + (text.endsWith("0") ? "1" : "0");
  const forged = fields.map((field) => ({ ...content, [field]: other(content[field]) }));
  forged.push({ ...content, body: { ...content.body, more: 1 } });
  return forged.every((copy) => {
    try {
      check(copy, ...place);
      return false;
    } catch {
      return true;
    }
  });
}

function witness(rawEvents) {
  const faults = inClear(rawEvents);
  const cards = told("cis.dag.card");
  const [card] = cards;
  if (cards.length !== 1 || !card.edits || contentOf(card.event).msgtype !== "m.notice") faults.push("card");
  const { run, state } = card.now["cis.dag.card"];
  for (const event of events.values()) {
    if (event.isDecryptionFailure()) faults.push(`${event.getId()} cannot be decrypted`);
  }
  for (const event of envelopes()) {
    const place = [given.room, event.getType(), event.getSender()];
    if (!event.isEncrypted()) faults.push("an envelope is not encrypted");
    try {
      check(contentOf(event), ...place);
      if (!isRefusedAfterAChange(contentOf(event), place)) faults.push("an altered copy is taken");
    } catch (why) {
      faults.push(why.message);
    }
  }
  const read = journal(run);
  const { entries, faults: chain } = read;
  if (!entries.length) faults.push("there is no journal");
  const seqs = envelopes().map((event) => contentOf(event).seq).filter(Boolean);
  const rings = told("cis.dag.summary").filter(({ now }) => now["m.mentions"].user_ids);
  return {
    run,
    state,
    card: card.now.body,
    thread: related("m.thread", card.event.getId()).map((event) => contentOf(event).body),
    rings: rings.map(({ now }) => now.body),
    announced: announced(read, faults),
    questions: told("cis.dag.question").map(({ now }) => now.body),
    envelopes: seqs.length,
    dids: [...new Set(envelopes().map((event) => contentOf(event).did))],
    entries,
    refused: [],
    faults: [...faults, ...chain, ...gaps(seqs)],
  };
}

await enter();
process.stdout.write("ready\n");

while (!isOver()) {
  const next = new Promise((done) => (changed = done));
  await answer();
  if (!isOver()) await next;
}
const said = witness(await raw());
process.stdout.write(`${JSON.stringify(said)}\n`, () => process.exit(said.faults.length ? 1 : 0));
