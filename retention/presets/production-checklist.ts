/** What Jet Admin's production checklist asks for: seven days, four weeks, twelve months. */
export const productionChecklist = { daily: 7, weekly: 4, monthly: 12 } as const;
