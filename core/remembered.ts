/** Makes something when it is first asked for, and never again: also what failed stays so. */
export function remembered<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let value: Promise<Value> | undefined;
  return () => {
    value ??= make();
    return value;
  };
}
