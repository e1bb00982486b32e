// `npm run build:addon`. npm also runs this script as `install` if lxmert is a dependency of another package.
import { existsSync } from 'node:fs';
import { ensureAddon } from './lib/addon.mjs';
import { alone } from './lib/lock.mjs';
import { at } from './lib/paths.mjs';
import { main } from './lib/setup.mjs';

// In a clone, `npm run setup` calls `npm ci` and builds the addon afterwards, with progress messages.
const isInstallInClone = process.env.npm_lifecycle_event === 'install' && existsSync(at('src'));
if (!isInstallInClone) await main(() => alone(ensureAddon));
