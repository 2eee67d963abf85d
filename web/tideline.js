// The JavaScript SDK, at the address that pages know.

export * from "./tideline/tideline.js";
