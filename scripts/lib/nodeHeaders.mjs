import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Where the folder `include/node` of this Node would be; npm_config_nodedir names another place. */
export const nodeFolder = () => process.env.npm_config_nodedir || dirname(dirname(process.execPath));

/** The folder of Node's headers, as Node's own packages bring it; null where there is none. */
export function nodeHeaders() {
  const headers = join(nodeFolder(), 'include', 'node');
  return existsSync(join(headers, 'node_api.h')) ? headers : null;
}
