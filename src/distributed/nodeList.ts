/** The first host of a Slurm node list: `n01` of `n[01-03,07],m1`, `a1b2` of `a[1-2]b[2-4]`. */
export function firstHost(list: string): string {
  let first = '';
  for (let at = 0; at < list.length && list[at] !== ','; at++) {
    if (list[at] !== '[') {
      first += list[at];
      continue;
    }
    const end = list.indexOf(']', at);
    first += list.slice(at + 1, end < 0 ? undefined : end).split(/[,-]/)[0];
    at = end < 0 ? list.length : end;
  }
  return first;
}
