//! Centres of points: k-means as linfa does it, and how many centres there are. Not what a point is, and
//! not which group a centre is.
//!
//! The centres depend on the set of points alone. The points are sorted before linfa sees them, since
//! k-means++ draws by position and sums round by order; the generator is linfa's own with its fixed seed.
//! Threads do not matter: linfa uses them to find the nearest centre of each point, by itself, and sums on
//! one. (Its `KMeansInit::KMeansPara` seeds a generator for each thread and is not used.)

use std::cmp::Ordering;

use linfa::{DatasetBase, traits::Fit};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::Array2;

/// Dimensions of a point.
pub(crate) const DIMENSIONS: usize = 16;
/// Fewer points than this have no centres.
pub(crate) const ENTITIES_MIN: usize = 40;
/// Numbers of centres that are tried, as far as each would have ten points on average.
const TRIED: [usize; 5] = [4, 8, 16, 32, 64];
/// The least silhouette that is taken for groups: below it there are none.
const SILHOUETTE_MIN: f64 = 0.2;
/// Times that k-means begins anew; the run whose points are nearest to their centres is taken.
const RUNS: usize = 4;
/// Most rounds in which the centres of a run move.
const ROUNDS_MAX: u64 = 60;
/// Others must fit so much better than the centres there are to take their place.
const BETTER: f64 = 0.05;
/// Centres that move less than this, all together, stay.
const TOLERANCE: f64 = 1e-3;

/// What an entity does, as a point of length 1.
pub(crate) type Point = [f32; DIMENSIONS];

/// The centres of a sample, as many as fit it best; none if it has no groups. Those of the day before,
/// `today`, are moved to where the points are now and stay unless others fit better by more than a little:
/// a group is the same group as long as it can be. Points that are not finite are left out.
pub(crate) fn find(sample: &[Point], today: &[Point]) -> Vec<Point> {
    let mut points: Vec<Point> =
        sample.iter().filter(|point| point.iter().all(|x| x.is_finite())).copied().collect();
    if points.len() < ENTITIES_MIN {
        return Vec::new();
    }
    points.sort_by(order);
    // A pool of one thread: linfa would take all cores from the rows that come meanwhile.
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(|| best(&points, today)),
        // As above, on as many threads as there are.
        Err(_) => best(&points, today),
    }
}

/// The place of the nearest centre, the first of equals.
pub(crate) fn nearest(centres: &[Point], point: &Point) -> Option<usize> {
    let near = centres.iter().enumerate().map(|(i, centre)| (distance(centre, point), i));
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, i)| i)
}

fn order(a: &Point, b: &Point) -> Ordering {
    let places = a.iter().zip(b).map(|(x, y)| x.total_cmp(y));
    places.fold(Ordering::Equal, Ordering::then)
}

fn best(points: &[Point], today: &[Point]) -> Vec<Point> {
    let mut distinct = points.to_vec();
    distinct.dedup();
    // Of fewer different points linfa makes centres that are the same.
    let most = (points.len() / 10).min(distinct.len());
    let fit = |begin: Begin<'_>| {
        let centres = centres(points, begin)?;
        Some((silhouette(points, &centres), centres))
    };
    let found = TRIED.into_iter().filter(|k| *k <= most).filter_map(|k| fit(Begin::Apart(k)));
    // The first of equals: fewer groups.
    let best = found.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let there = Some(today).filter(|today| !today.is_empty() && today.len() <= most);
    let stays = there.and_then(|today| fit(Begin::At(today)));
    let best = match (best, stays) {
        (Some(best), Some(stays)) if stays.0 + BETTER < best.0 => Some(best),
        (best, stays) => stays.or(best),
    };
    match best {
        Some((silhouette, centres)) if silhouette >= SILHOUETTE_MIN => centres,
        Some(_) | None => Vec::new(),
    }
}

/// Where centres are before they move.
#[derive(Clone, Copy)]
enum Begin<'a> {
    /// So many, at points that are chosen apart from each other.
    Apart(usize),
    At(&'a [Point]),
}

/// The centres of clusters; `None` if linfa finds none.
fn centres(points: &[Point], begin: Begin<'_>) -> Option<Vec<Point>> {
    let means = match begin {
        // k-means++ (Arthur and Vassilvitskii 2007) is the default, and so is the seed.
        Begin::Apart(k) => KMeans::params(k).n_runs(RUNS),
        Begin::At(centres) => KMeans::params(centres.len())
            .n_runs(1)
            .init_method(KMeansInit::Precomputed(matrix(centres)?)),
    };
    let means = means
        .max_n_iterations(ROUNDS_MAX)
        .tolerance(TOLERANCE)
        .fit(&DatasetBase::from(matrix(points)?))
        .ok()?;
    let mut centres = Vec::new();
    for row in means.centroids().rows() {
        let mut centre = [0.0; DIMENSIONS];
        centre.iter_mut().zip(row).for_each(|(to, x)| *to = *x as f32);
        centres.push(centre);
    }
    Some(centres)
}

/// Points as rows.
fn matrix(points: &[Point]) -> Option<Array2<f64>> {
    let all = points.iter().flatten().map(|x| f64::from(*x)).collect();
    Array2::from_shape_vec((points.len(), DIMENSIONS), all).ok()
}

/// How much nearer points are to their own centre than to the next one: the mean of `1 - own / next`, the
/// simplified silhouette. linfa's compares each point with all others, a hundred times as much work for a
/// full sample, and calls one cluster perfect.
fn silhouette(points: &[Point], centres: &[Point]) -> f64 {
    let of = |point: &Point| {
        let (mut own, mut next) = (f64::INFINITY, f64::INFINITY);
        for centre in centres {
            let d = distance(centre, point).sqrt();
            if d < own {
                (own, next) = (d, own);
            } else if d < next {
                next = d;
            }
        }
        if next > 0.0 && next.is_finite() { 1.0 - own / next } else { 0.0 }
    };
    points.iter().map(of).sum::<f64>() / points.len() as f64
}

fn distance(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y) * f64::from(x - y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::scattered;

    fn random(seed: u64) -> f32 {
        scattered(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) as f32 / u64::MAX as f32 - 0.5
    }

    /// Points around `n` corners, `spread` apart from each other within one.
    fn around(n: usize, each: usize, spread: f32) -> Vec<Point> {
        let of = |i: usize| {
            let mut point: Point =
                std::array::from_fn(|at| spread * random((i * DIMENSIONS + at) as u64));
            point[i % n] += 1.0;
            point
        };
        (0..n * each).map(of).collect()
    }

    #[test]
    fn p3_the_order_of_points_and_the_number_of_threads_do_not_matter() {
        let sample = around(8, 40, 0.6);
        let expected = find(&sample, &[]);
        assert_eq!(expected.len(), 8);
        let mut other = sample.clone();
        for turn in 1..6 {
            other.rotate_left(turn * 37);
            other.reverse();
            assert_eq!(find(&other, &[]), expected);
        }
        other.sort_by(order);
        for threads in [2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| best(&other, &[])), expected, "{threads} threads");
        }
    }

    #[test]
    fn as_many_groups_are_found_as_there_are() {
        for groups in [4, 8, 16] {
            let sample = around(groups, 30, 0.3);
            let centres = find(&sample, &[]);
            assert_eq!(centres.len(), groups);
            for (i, point) in sample.iter().enumerate() {
                assert_eq!(nearest(&centres, point), nearest(&centres, &sample[i % groups]));
            }
        }
    }

    #[test]
    fn centres_that_are_there_stay_while_they_fit() {
        let sample = around(8, 40, 0.6);
        let today = find(&sample, &[]);
        // A few others: the same groups at the same places of the list.
        let next = &around(8, 44, 0.6)[64..];
        let moved = find(next, &today);
        for (i, centre) in today.iter().enumerate() {
            assert_eq!(nearest(&moved, centre), Some(i));
        }
        // All others: what was there says nothing.
        let corners = |point: &Point| {
            let mut other = *point;
            other.reverse();
            other
        };
        let elsewhere: Vec<Point> = around(16, 30, 0.3).iter().map(corners).collect();
        assert_eq!(find(&elsewhere, &today).len(), 16);
    }

    #[test]
    fn where_there_are_none_or_few_entities_none_are_found() {
        let alone = |i: u64| std::array::from_fn(|at| random(i * 100 + at as u64));
        assert_eq!(find(&(0..400).map(alone).collect::<Vec<_>>(), &[]), Vec::<Point>::new());
        assert_eq!(find(&around(4, 5, 0.1), &[]), Vec::<Point>::new());
    }

    #[test]
    fn points_that_are_all_the_same_or_not_numbers_are_no_groups() {
        assert_eq!(find(&vec![[0.25; DIMENSIONS]; 500], &[]), Vec::<Point>::new());
        let mut broken = around(8, 40, 0.3);
        let expected = find(&broken, &[]);
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            broken.push([x; DIMENSIONS]);
        }
        assert_eq!(find(&broken, &[]), expected);
        // Many copies of few points: as many groups as there are points, none of them empty.
        let few = around(5, 1, 0.0);
        let copies: Vec<Point> = (0..500).map(|i| few[i % 5]).collect();
        let centres = find(&copies, &[]);
        let used: std::collections::BTreeSet<_> =
            copies.iter().map(|point| nearest(&centres, point)).collect();
        assert_eq!((centres.len(), used.len()), (4, 4));
    }
}
