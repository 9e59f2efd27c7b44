// A client of matrix-js-sdk in an encrypted room, on a device that its owner has verified.
//
// WITNESS in the environment: url, user, device, token, password, room, modules (the folder of the packages).

/** What was given, the library, a client that follows nothing yet, and a function that enters the room. */
export async function sealed() {
  const given = JSON.parse(process.env.WITNESS);
  // The library talks to the console, which is ours.
  for (const level of ["log", "info", "debug", "warn", "trace"]) console[level] = () => {};
  const sdk = await import(`${given.modules}/matrix-js-sdk/lib/index.js`);
  const { logger } = await import(`${given.modules}/matrix-js-sdk/lib/logger.js`);
  logger.disableAll?.();

  const { url: baseUrl, user: userId, device: deviceId, token: accessToken } = given;
  const client = sdk.createClient({ baseUrl, userId, deviceId, accessToken });
  await client.initRustCrypto({ useIndexedDB: false });
  return { given, sdk, client, enter: () => enter(given, sdk, client) };
}

async function enter(given, sdk, client) {
  // The first keys of an account are taken without a password, later ones with it.
  const identifier = { type: "m.id.user", user: given.user };
  const password = { type: "m.login.password", identifier, password: given.password };
  await client.getCrypto().bootstrapCrossSigning({
    authUploadDeviceSigningKeys: async (request) => {
      try {
        await request(null);
      } catch (refused) {
        await request({ ...password, session: refused.data?.session });
      }
    },
  });
  await client.joinRoom(given.room);
  const prepared = new Promise((done) => client.on(sdk.ClientEvent.Sync, (state) => state === "PREPARED" && done()));
  await client.startClient({ initialSyncLimit: 100 });
  await prepared;
}
