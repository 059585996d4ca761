/** How figures are written for people, in the terminal, in log lines and in reports: English, short, the same everywhere. */

const grouped = new Intl.NumberFormat('en-US');
const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** "0.4s", "42s", "4m 12s", "1h 04m", "2d 03h". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const positive = Math.max(0, seconds);
  if (positive < 9.95) return `${positive.toFixed(1)}s`;
  const whole = Math.round(positive);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${twoDigits(whole % 60)}s`;
  const minutes = Math.round(positive / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}h ${twoDigits(minutes % 60)}m`;
  const hours = Math.round(positive / 3600);
  return `${Math.floor(hours / 24)}d ${twoDigits(hours % 24)}h`;
}

/** Decimal units: "812 B", "4.2 MB", "1.9 GB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** "12,873". Fractions below 100 keep one digit. */
export function formatCount(count: number): string {
  return grouped.format(Math.abs(count) < 100 ? Math.round(count * 10) / 10 : Math.round(count));
}

/** "1 row", "7,473 rows". @param several what it is called where there are several; by default with an s */
export function formatCounted(count: number, noun: string, several = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : several}`;
}

/** "134.5M". */
export function formatCompact(count: number): string {
  return compact.format(count);
}

/** A share of 1 as "44.5%". */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

/** "$0.0042", "$0.87", "$12.40", "$1,204". */
export function formatUsd(dollars: number): string {
  if (dollars > 0 && dollars < 0.1) return `$${Number(dollars.toPrecision(2))}`;
  return dollars < 1000 ? `$${dollars.toFixed(2)}` : `$${grouped.format(Math.round(dollars))}`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
