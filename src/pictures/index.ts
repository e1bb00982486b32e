export { openDetector, shownToModel } from './detector.js';
export type { Detection, Detector, OpenDetectorOptions, PreparedPicture } from './detector.js';
export { importDetector } from './importDetector.js';
export type { ImportDetectorOptions, ImportedDetector } from './importDetector.js';
export { recipes } from './recipe.js';
export type { Recipe, RecipeName } from './recipe.js';
export { extractFeatures } from './extract.js';
export type { ExtractOptions, ExtractProgress, ExtractReport } from './extract.js';
export { pictureSize, type PictureSize } from './size.js';
