import { productionChecklist } from './production-checklist.ts';

/** Every preset by the name that a policy gives. A new one is one new file and one line here. */
export const presets = {
  'production-checklist': productionChecklist,
} as const;

export const presetNames = ['production-checklist'] as const satisfies readonly (keyof typeof presets)[];
