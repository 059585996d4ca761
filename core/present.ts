/** Without the keys whose values are undefined: a field that is unset on the wire, say, is not there in the core's terms. */
export function present<T extends object>(values: T): Present<T> {
  const given: Record<string, unknown> = {};
  for (const key in values) if (values[key] !== undefined) given[key] = values[key];
  return given as Present<T>;
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};
