export { exportTsv } from './exportTsv.js';
export { mergeStores } from './mergeStores.js';
export { storeDtypes } from './storeForm.js';
export { storeInfo } from './storeInfo.js';
export type { ImageLook, StoreInfo } from './storeInfo.js';
export { verifyStore } from './verifyStore.js';
