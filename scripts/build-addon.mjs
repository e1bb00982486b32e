// `npm run build:addon`, and npm's own `install` where lxmert is a dependency of another package.
import { existsSync } from 'node:fs';
import { ensureAddon } from './lib/addon.mjs';
import { alone } from './lib/lock.mjs';
import { at } from './lib/paths.mjs';
import { main } from './lib/setup.mjs';

// In a clone, `npm ci` is a part of `npm run setup`, which builds the addon afterwards and shows how it goes.
const isInstallInClone = process.env.npm_lifecycle_event === 'install' && existsSync(at('src'));
if (!isInstallInClone) await main(() => alone(ensureAddon));
