// Errors as a sentence in the person's language.

import { has, t } from "./texts.js";

/** An error of the page itself: its message is a sentence to show. */
export class Complaint extends Error {}

/** A field of a request that broke a rule, by its pointer. */
const fieldOf = ({ pointer }) => pointer?.split(/[#/]+/).at(-1) ?? "";

/** The fields that have their own sentences, by their names. */
export function explainFields(error) {
  const fields = (error?.errors ?? []).map(fieldOf).filter((name) => has(`error.validation.${name}`));
  return Object.fromEntries(fields.map((name) => [name, t(`error.validation.${name}`)]));
}

export function explain(error) {
  if (error instanceof Complaint) return error.message;
  const named = Object.values(explainFields(error));
  if (named.length > 0) return named.join(" ");
  return t(has(`error.${error?.code}`) ? `error.${error.code}` : "error.unknown");
}

/** Why a message was not sent. Only a forward is refused because a message is gone, the one that it copies, and only media reach a limit. */
export function explainSend(error) {
  if (error?.code === "message_gone") return t("error.message_gone.forward");
  if (error?.code === "limit_reached") return t("error.limit_reached.media");
  const refused = error?.code === "media_rejected" ? `error.media_rejected.${error.errors?.[0]?.detail}` : "";
  return has(refused) ? t(refused) : explain(error);
}
