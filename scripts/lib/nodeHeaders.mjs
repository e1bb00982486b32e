import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The folder that contains `include/node` of this Node. npm_config_nodedir may name another folder. */
export const nodeFolder = () => process.env.npm_config_nodedir || dirname(dirname(process.execPath));

/** The folder of Node's headers, as in Node's packages; null if it does not exist. */
export function nodeHeaders() {
  const headers = join(nodeFolder(), 'include', 'node');
  return existsSync(join(headers, 'node_api.h')) ? headers : null;
}
