export { formNames, formTitles } from './forms.js';
export type { FormName } from './forms.js';
export { importFeatures } from './importFeatures.js';
export type { ImportOptions, ImportProgress, ImportReport } from './importFeatures.js';
