/** The values of an enum of the wire, by their names in the core: one table for both directions. */
export interface WireNames<Name extends string, Code extends number> {
  readonly names: readonly Name[];
  code(name: Name): Code;
  /** Undefined for one that is not said, or that this version does not know. */
  name(code: Code): Name | undefined;
}

export function wireNames<Name extends string, Code extends number>(
  codes: Readonly<Record<Name, Code>>,
): WireNames<Name, Code> {
  const names = Object.keys(codes) as Name[];
  const byCode = new Map(names.map((name) => [codes[name], name]));
  return { names, code: (name) => codes[name], name: (code) => byCode.get(code) };
}
