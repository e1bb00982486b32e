/** Numbers as messages and tables show them. */

/** `1,234` */
export const whole = (value: number): string => value.toLocaleString('en-US');

/** `1 image`, `2,000 images`; `plural` is given where it is not the noun with an s. */
export const counted = (value: number, noun: string, plural = `${noun}s`): string =>
  `${whole(value)} ${value === 1 ? noun : plural}`;

/** A share as `12.3 %`. */
export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** About three digits. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 100 ? whole(Math.round(value)) : value.toPrecision(3);
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Bytes as `3.2 GB`: three digits, units of 1000. */
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
