export { finetune } from './finetune.js';
export type { FinetuneRequest } from './finetune.js';
