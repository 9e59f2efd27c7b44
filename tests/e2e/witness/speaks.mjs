// Says something in an encrypted room with matrix-js-sdk, from a device that its owner has verified, and prints what is replied to
// each: a JSON list in the last line of stdout.
//
// WITNESS in the environment: as `sealed.mjs` wants it, and says (words, in order).

import { sealed } from "./sealed.mjs";

const { given, sdk, client, enter } = await sealed();

const replies = new Map();
let changed = () => {};

function take(event) {
  if (event.getRoomId() !== given.room || event.getType() !== "m.room.message") return;
  const to = event.getWireContent()["m.relates_to"]?.["m.in_reply_to"]?.event_id;
  // The key of a message may come after it.
  if (!to || event.isDecryptionFailure()) return;
  replies.set(to, event.getOriginalContent().body);
  changed();
}
client.on(sdk.RoomEvent.Timeline, take);
client.on(sdk.MatrixEventEvent.Decrypted, take);
await enter();
process.stdout.write("ready\n");

const heard = [];
for (const body of given.says) {
  const { event_id: id } = await client.sendEvent(given.room, "m.room.message", { msgtype: "m.text", body });
  while (!replies.has(id)) await new Promise((done) => (changed = done));
  heard.push(replies.get(id));
}
process.stdout.write(`${JSON.stringify(heard)}\n`, () => process.exit(0));
