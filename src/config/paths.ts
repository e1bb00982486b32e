import { homedir } from 'node:os';

/** The user's home folder; undefined if neither HOME nor the system's list of users gives one. */
export function homeFolder(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}

/**
 * Returns what is wrong with a path in a setting; undefined for a valid path. A path must not begin with `~`, because only a
 * shell replaces it by the home folder, and not inside quotation marks. The program would make a folder named `~`.
 */
export function pathProblem(path: string): string | undefined {
  const user = /^~([^/\\]*)/.exec(path)?.[1];
  if (user === undefined) return undefined;
  const meant = user === '' ? `${homeFolder() ?? 'your home folder'}${path.slice(1)}` : `the home folder of ${user}`;
  return (
    `only a shell replaces ~ by the home folder, and not inside quotation marks; write ${meant}, ` +
    `or ./${path} for a name that begins with ~`
  );
}
