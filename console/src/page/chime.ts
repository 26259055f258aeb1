/** The sound of a call: two short tones, upwards for a break, downwards for a bounce, level for all else. No file is loaded. */

const TONES_HZ: Readonly<Record<string, readonly [number, number]>> = { BREAK: [660, 880], BOUNCE: [880, 660] };
const OTHER_HZ = [740, 740] as const;
const TONE_S = 0.16;
const LOUDNESS = 0.2;

export class Chime {
  private context: AudioContext | undefined;

  /** Browsers let a page sound only after a click or a key in it. */
  get isBlocked(): boolean {
    return navigator.userActivation?.hasBeenActive === false;
  }

  play(signal: string): void {
    if (this.isBlocked) return;
    const context = (this.context ??= new AudioContext());
    void context.resume();
    const tones = TONES_HZ[signal] ?? OTHER_HZ;
    for (const [at, hz] of tones.entries()) sound(context, hz, context.currentTime + at * TONE_S * 1.2);
  }
}

function sound(context: AudioContext, hz: number, fromS: number): void {
  const tone = new OscillatorNode(context, { frequency: hz, type: "triangle" });
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.setValueAtTime(0, fromS);
  gain.gain.linearRampToValueAtTime(LOUDNESS, fromS + 0.01); // without a click
  gain.gain.linearRampToValueAtTime(0, fromS + TONE_S);
  tone.connect(gain).connect(context.destination);
  tone.start(fromS);
  tone.stop(fromS + TONE_S);
}
