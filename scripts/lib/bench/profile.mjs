export function profile() {}
