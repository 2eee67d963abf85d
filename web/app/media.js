// Which pictures are loaded without a click. A picture reveals to its host who views it, and when: pictures of hosts that the
// operator trusts (TIDELINE_TRUSTED_MEDIA_HOSTS) are loaded immediately, others after a click.

import { $ } from "./dom.js";

const hosts = $("meta[name=media-hosts]").content.split(" ").filter(Boolean);
const asked = new Set();

const trusts = (host) => (pattern) => pattern === "*" || pattern === host || (pattern.startsWith("*.") && host.endsWith(pattern.slice(1)));

/** Whether this picture may be loaded without a click. */
export const isLoaded = (url) => url.origin === location.origin || asked.has(url.href) || hosts.some(trusts(url.host));

/** The person has clicked to see this picture; it is shown from then on, until they log out. */
export const ask = (url) => asked.add(url.href);

export const forget = () => asked.clear();
