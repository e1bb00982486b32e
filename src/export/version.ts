import { createRequire } from 'node:module';

/** The version of lxmert. */
export function version(): string {
  const { version: found } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return found;
}
