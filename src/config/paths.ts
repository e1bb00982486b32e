import { homedir } from 'node:os';

/** The user's home folder; undefined where neither HOME nor the system's list of users names one. */
export function homeFolder(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}

/**
 * What is wrong with a path in a setting; undefined for a good one. `~` at the start is refused: only a shell replaces it
 * by the home folder, and not within quotation marks, so a folder named `~` would come into being.
 */
export function pathProblem(path: string): string | undefined {
  const user = /^~([^/\\]*)/.exec(path)?.[1];
  if (user === undefined) return undefined;
  const meant = user === '' ? `${homeFolder() ?? 'your home folder'}${path.slice(1)}` : `the home folder of ${user}`;
  return (
    `only a shell replaces ~, and not within quotation marks; write ${meant}, ` +
    `or ./${path} for a name that begins with ~`
  );
}
