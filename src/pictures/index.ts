export { openDetector } from './detector.js';
export { shownToModel } from './detection.js';
export type { Detection, Detector, OpenDetectorOptions, PreparedPicture } from './detection.js';
export { importDetector } from './import/importDetector.js';
export type { ImportDetectorOptions, ImportedDetector } from './import/importDetector.js';
export { recipes } from './recipe.js';
export type { Recipe, RecipeName } from './recipe.js';
export { extractFeatures } from './extract/extract.js';
export type { ExtractOptions, ExtractProgress, ExtractReport } from './extract/extract.js';
