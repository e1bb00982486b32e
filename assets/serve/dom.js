// @ts-check
// The elements of the page by their ids, and numbers as text.

/** @param {string} id */
export const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
export const input = (id) => /** @type {HTMLInputElement} */ (element(id));
/** @param {string} id */
export const select = (id) => /** @type {HTMLSelectElement} */ (element(id));

/** @param {number} share */
export const percent = (share) => `${(100 * share).toFixed(1)} %`;
