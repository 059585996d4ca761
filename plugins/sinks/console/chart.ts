const eighths = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** A curve in one line of `width` characters: the mean of what falls into each, from the least to the greatest. */
export function sparkline(values: readonly number[], width: number): string {
  if (values.length === 0 || width <= 0) return '';
  const columns = Math.min(width, values.length);
  const means = Array.from({ length: columns }, (_, column) => {
    const from = Math.floor((column * values.length) / columns);
    const to = Math.max(from + 1, Math.floor(((column + 1) * values.length) / columns));
    const part = values.slice(from, to);
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const least = Math.min(...means);
  const span = Math.max(...means) - least;
  return means.map((mean) => eighths[span === 0 ? 0 : Math.round(((mean - least) / span) * 7)]).join('');
}

/** How much is done, as a line of `width` characters: [done, left], to be coloured apart. */
export function progressBar(share: number, width: number): readonly [done: string, left: string] {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width);
  return ['━'.repeat(filled), '─'.repeat(width - filled)];
}
