// A program that uses the SDK without a server, written once for bundlers, engines and module systems.

/** The output of a program that succeeds. */
export const EXPECTED = "Tideline,TidelineError,browserStorage,memoryStorage,newerState,uuidv7 xenia stored true";

/** `sdk` is the module's namespace; `done` gets the line. */
export const PROGRAM = `
function run(sdk, done) {
  const response = (value) => ({ ok: true, status: 200, type: "basic", redirected: false, headers: new Map(), text: async () => JSON.stringify(value) });
  const user = { id: "01890000-0000-7000-8000-000000000000", username: "xenia" };
  const fetch = async (url, { body }) =>
    response(url.endsWith("/login") ? { user, device_id: "d", access_token: "a", refresh_token: "r" } : { ...JSON.parse(body), seq: 1 });
  const tideline = new sdk.Tideline({ url: "https://chat.example", fetch });
  let states = [];
  tideline.on("send", ({ state }) => states.push(state));
  return tideline
    .login({ username: "xenia", password: "correct horse" })
    .then(() => tideline.send(user.id, "hi"))
    .then(() => tideline.close())
    .then(() => done([Object.keys(sdk).sort().join(), user.username, states.at(-1), new sdk.TidelineError({ code: "network" }).transient].join(" ")));
}
`;
