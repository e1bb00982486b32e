export { launchRanks } from './launch.js';
export { launchByMpi } from './launchMpi.js';
export { launched } from './placement.js';
export { roleOf } from './placement.js';
export type { Placement, Role, Transport } from './placement.js';
export { joinRanks } from './ranks.js';
export type { Ranks } from './ranks.js';
