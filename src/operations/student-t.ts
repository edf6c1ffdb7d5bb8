/**
 * The value that a variable of Student's t distribution with `df` degrees of freedom (a whole number) stays between, on both
 * sides of 0, with the probability `level`: 2.776 for 0.95 and 4. Throws `RangeError` for anything else.
 *
 * By halving over the closed form for whole degrees of freedom (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3
 * and 26.7.4), so exact to rounding. A library would bring hundreds of distributions along for these lines.
 */
export function studentHalfWidth(level: number, df: number): number {
  if (!(level > 0 && level < 1) || !Number.isInteger(df) || df < 1) throw new RangeError(`no t quantile of ${level} with ${df}`);
  let [low, high] = [0, Math.PI / 2];
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (within(middle, df) < level) low = middle;
    else high = middle;
  }
  return Math.sqrt(df) * Math.tan((low + high) / 2);
}

/** The probability to lie between -t and t, where t is √df tan θ. */
function within(theta: number, df: number): number {
  const [sine, cosine] = [Math.sin(theta), Math.cos(theta)];
  const odd = df % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = df === 1 ? 0 : term;
  for (let power = odd ? 3 : 2; power <= df - 2; power += 2) {
    term *= ((power - 1) / power) * cosine * cosine;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (theta + sine * sum) : sine * sum;
}
