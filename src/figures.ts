/** Formats numbers for messages and tables. */

/** A number with commas between thousands, such as `1,234`. */
export const whole = (value: number): string => value.toLocaleString('en-US');

/** A number with its noun, such as `1 image` or `2,000 images`. Give `plural` for a noun whose plural is not noun + s. */
export const counted = (value: number, noun: string, plural = `${noun}s`): string =>
  `${whole(value)} ${value === 1 ? noun : plural}`;

/** A share as `12.3 %`. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** A number with three significant digits; a number of 100 or more is rounded to an integer. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 100 ? whole(Math.round(value)) : value.toPrecision(3);
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Bytes such as `3.2 GB`, with at most three significant digits. 1 kB is 1000 bytes. */
export function byteSize(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

/** Bytes of memory as `1.50 GiB`. */
export const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toPrecision(3)} GiB`;

/** Seconds as `1:02:03` or `2:03`. */
export function duration(seconds: number): string {
  const all = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  return hours > 0 ? `${whole(hours)}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}
