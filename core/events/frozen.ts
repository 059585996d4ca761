/** Plain JSON that nobody can change any more, as deep as it goes: many hold the same object. Returns it. */
export function frozen<T>(json: T): T {
  if (typeof json !== 'object' || json === null) return json;
  for (const key in json) frozen(json[key]);
  return Object.freeze(json);
}
