//! Pictures that are made up, as hard to encode as a filmed scene: for machines that have no film
//! to be measured with. Pure, the same on every machine.
//!
//! A landscape of which every octave has half the contrast of the one below, as in photographs,
//! passes as behind a slow camera; three discs with landscapes of their own cross it; everything is
//! grainy; and every few seconds it is another place. All of it is in shares of the height, so that
//! a smaller picture is the same scene.

/// Seconds from one place to the next.
const CUT: f64 = 3.0;

/// Side of the landscape in pixels, a power of two: it repeats beyond.
const SIDE: usize = 1_024;

/// Pictures as high as this show a pixel of the landscape in each of theirs.
const FULL: f64 = 1_080.0;

/// Brightness of grain, of 255: a sensor in good light.
const GRAIN: i32 = 2;

/// A picture in planes of 8 bits, 4:2:0, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planes {
    /// Pixels; even.
    pub width: u32,
    /// Pixels; even.
    pub height: u32,
    /// Brightness, then the two colour differences.
    pub planes: [Vec<u8>; 3],
}

/// The scene.
pub struct Scene {
    /// `SIDE` squared.
    land: Vec<u8>,
}

/// Something that moves: where its landscape begins, how fast it passes; in shares of the height,
/// and of the height a second.
#[derive(Debug, Clone, Copy)]
struct Layer {
    at: (f64, f64),
    speed: (f64, f64),
}

/// A disc in front.
#[derive(Debug, Clone, Copy)]
struct Disc {
    land: Layer,
    middle: (f64, f64),
    speed: (f64, f64),
    radius: f64,
}

const DISCS: [Disc; 3] = [
    Disc {
        land: Layer { at: (0.3, 0.1), speed: (0.02, 0.0) },
        middle: (0.3, 0.4),
        speed: (0.22, 0.03),
        radius: 0.17,
    },
    Disc {
        land: Layer { at: (0.7, 0.5), speed: (0.0, -0.05) },
        middle: (1.4, 0.7),
        speed: (-0.13, -0.06),
        radius: 0.12,
    },
    Disc {
        land: Layer { at: (0.1, 0.8), speed: (-0.04, 0.04) },
        middle: (0.9, 0.2),
        speed: (0.05, 0.16),
        radius: 0.08,
    },
];

/// A number of so many bits' look, from two; splitmix64's finish.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Landscape: octaves of noise, smoothed between the points of each grid.
fn land() -> Vec<u8> {
    let mut sum = vec![0.0f32; SIDE * SIDE];
    let mut contrast = 64.0f32;
    let mut step = SIDE / 4;
    while step >= 2 {
        let point = |x: usize, y: usize| {
            let (x, y) = (x % (SIDE / step), y % (SIDE / step));
            (mix(step as u64, (y * SIDE + x) as u64) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        for y in 0..SIDE {
            let (gy, fy) = (y / step, (y % step) as f32 / step as f32);
            for x in 0..SIDE {
                let (gx, fx) = (x / step, (x % step) as f32 / step as f32);
                let top = point(gx, gy) * (1.0 - fx) + point(gx + 1, gy) * fx;
                let low = point(gx, gy + 1) * (1.0 - fx) + point(gx + 1, gy + 1) * fx;
                sum[y * SIDE + x] += contrast * 2.0 * (top * (1.0 - fy) + low * fy);
            }
        }
        (contrast, step) = (contrast / 2.0, step / 2);
    }
    sum.into_iter().map(|v| (128.0 + v).clamp(16.0, 235.0) as u8).collect()
}

impl Default for Scene {
    fn default() -> Scene {
        Scene { land: land() }
    }
}

/// Where in the landscape, in 256ths of its pixels.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    x: i64,
    y: i64,
    step: i64,
}

impl Scene {
    /// Brightness between four points.
    fn at(&self, x: i64, y: i64) -> i32 {
        let (fx, fy) = ((x & 255) as i32, (y & 255) as i32);
        let of = |x: i64, y: i64| {
            let wrap = |v: i64| v as usize & (SIDE - 1);
            i32::from(self.land[wrap(y) * SIDE + wrap(x)])
        };
        let (x, y) = (x >> 8, y >> 8);
        let top = of(x, y) * (256 - fx) + of(x + 1, y) * fx;
        let low = of(x, y + 1) * (256 - fx) + of(x + 1, y + 1) * fx;
        (top * (256 - fy) + low * fy) >> 16
    }

    /// What a layer shows at the left of a row, `time` seconds into its place.
    fn cursor(layer: Layer, place: u64, time: f64, height: f64) -> Cursor {
        let jump = |n| (mix(place, n) >> 48) as f64 / 65_536.0;
        let shares = |at: f64, speed: f64, n| at + jump(n) + speed * time;
        let units = |share: f64| (share * FULL * 256.0) as i64;
        Cursor {
            x: units(shares(layer.at.0, layer.speed.0, 1)),
            y: units(shares(layer.at.1, layer.speed.1, 2)),
            step: (FULL / height * 256.0) as i64,
        }
    }

    /// The picture at `time` seconds, in this size.
    pub fn draw(&self, time: f64, (width, height): (u32, u32)) -> Planes {
        let (place, within) = ((time / CUT) as u64, time % CUT);
        let camera = Layer { at: (0.0, 0.0), speed: (0.09, 0.012 * (time * 2.0).sin()) };
        let tall = f64::from(height);
        let back = Scene::cursor(camera, place, within, tall);
        let discs = DISCS.map(|d| {
            let middle = (d.middle.0 + d.speed.0 * within, d.middle.1 + d.speed.1 * within);
            let units = |share: f64| (share * tall) as i64;
            let radius = units(d.radius);
            let front = Scene::cursor(d.land, place, within, tall);
            (units(middle.0), units(middle.1), radius * radius, front)
        });
        let show = |x: i64, y: i64, offset: i64| {
            let inside =
                |d: &&(i64, i64, i64, Cursor)| (x - d.0) * (x - d.0) + (y - d.1) * (y - d.1) < d.2;
            let c = discs.iter().find(inside).map_or(back, |d| d.3);
            self.at(c.x + (x * c.step) + offset, c.y + (y * c.step) - offset)
        };
        let frame = (time * 1_000.0) as u64;
        let mut planes = [Vec::new(), Vec::new(), Vec::new()];
        for y in 0..i64::from(height) {
            let mut noise = mix(frame, y.cast_unsigned());
            planes[0].extend((0..i64::from(width)).map(|x| {
                if x & 15 == 0 {
                    noise = mix(noise, x.cast_unsigned());
                }
                let grain = ((noise >> ((x & 15) * 4)) & 15) as i32 - 8;
                (show(x, y, 0) + grain * GRAIN / 8).clamp(16, 235) as u8
            }));
        }
        for (plane, offset) in planes[1..].iter_mut().zip([40_000, 90_000]) {
            for y in 0..i64::from(height / 2) {
                let pale = |x: i64| 128 + (show(x * 2, y * 2, offset) - 128) / 3;
                plane.extend((0..i64::from(width / 2)).map(|x| pale(x) as u8));
            }
        }
        Planes { width, height, planes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(a: &Planes, b: &Planes) -> f64 {
        let (a, b) = (&a.planes[0], &b.planes[0]);
        let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    }

    #[test]
    fn it_moves_is_cut_and_is_the_same_again() {
        let scene = Scene::default();
        let size = (320, 180);
        let at = |time| scene.draw(time, size);
        let first = at(0.0);
        assert_eq!(first.planes.each_ref().map(Vec::len), [57_600, 14_400, 14_400]);
        assert_eq!(first, Scene::default().draw(0.0, size));
        let (next, cut) = (differs(&first, &at(1.0 / 30.0)), differs(&first, &at(CUT)));
        assert!(next > 0.5 && cut > 2.0 * next, "{next}, {cut}");
        let flat = first.planes[0].iter().all(|v| *v == first.planes[0][0]);
        assert!(!flat);
    }
}
