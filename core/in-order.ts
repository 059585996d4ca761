/** Starts some work ahead of what is asked for. @returns the results in the order of the work */
export async function* inOrder<T>(
  work: AsyncIterable<() => Promise<T>> | Iterable<() => Promise<T>>,
  ahead: number,
): AsyncIterable<T> {
  const underWay: Promise<T>[] = [];
  try {
    for await (const start of work) {
      if (underWay.length >= ahead) yield await (underWay.shift() as Promise<T>);
      underWay.push(start());
      // Told when it is its turn.
      underWay.at(-1)?.catch(() => {});
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<T>);
  } finally {
    // What it writes to is removed after this.
    await Promise.allSettled(underWay);
  }
}
