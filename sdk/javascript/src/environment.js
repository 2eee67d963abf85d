// Where the SDK runs.

export const inBrowser = typeof window === "object" && typeof document === "object";
