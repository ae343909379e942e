export function fairness() {}
