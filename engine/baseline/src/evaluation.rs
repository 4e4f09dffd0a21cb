//! How well scores tell labelled units apart. Pure figures over (score, label) pairs.

/// Figures of a ranking; each is `None` without a positive or without a negative unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Units with a label.
    pub units: usize,
    /// Of them, those labelled positive.
    pub positives: usize,
    /// Area under the ROC curve; ties count half.
    pub auc: Option<f64>,
    /// Average precision; tied scores are one threshold.
    pub average_precision: Option<f64>,
    /// Share of positives above the lowest threshold with at most 0.1 % false positives.
    pub recall_at_001: Option<f64>,
    /// The same with at most 1 %.
    pub recall_at_01: Option<f64>,
}

impl Evaluation {
    /// Evaluates scores; larger is more suspicious. None may be NaN.
    pub fn of(scores: &[(f64, bool)]) -> Evaluation {
        let mut ranked = scores.to_vec();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = ranked.iter().filter(|(_, label)| *label).count();
        let negatives = ranked.len() - positives;
        let empty = Evaluation {
            units: ranked.len(),
            positives,
            auc: None,
            average_precision: None,
            recall_at_001: None,
            recall_at_01: None,
        };
        if positives == 0 || negatives == 0 {
            return empty;
        }
        let (all_p, all_n) = (positives as f64, negatives as f64);
        let (mut tp, mut fp) = (0.0, 0.0);
        let (mut area, mut precision) = (0.0, 0.0);
        let (mut at_001, mut at_01) = (0.0, 0.0);
        for tied in ranked.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let hits = tied.iter().filter(|(_, label)| *label).count() as f64;
            let misses = tied.len() as f64 - hits;
            area += misses * (tp + hits / 2.0);
            tp += hits;
            fp += misses;
            precision += hits / all_p * (tp / (tp + fp));
            if fp <= 0.001 * all_n {
                at_001 = tp / all_p;
            }
            if fp <= 0.01 * all_n {
                at_01 = tp / all_p;
            }
        }
        Evaluation {
            auc: Some(area / (all_p * all_n)),
            average_precision: Some(precision),
            recall_at_001: Some(at_001),
            recall_at_01: Some(at_01),
            ..empty
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_ranking() {
        let e = Evaluation::of(&[(4.0, true), (3.0, false), (2.0, true), (1.0, false)]);
        assert_eq!((e.units, e.positives), (4, 2));
        assert_eq!(e.auc, Some(0.75));
        assert_eq!(e.average_precision, Some(0.5 + 0.5 * 2.0 / 3.0));
        assert_eq!(e.recall_at_01, Some(0.5));
    }

    #[test]
    fn ties_are_worth_half() {
        let e = Evaluation::of(&[(1.0, true), (1.0, false), (1.0, false)]);
        assert_eq!(e.auc, Some(0.5));
        assert_eq!(e.average_precision, Some(1.0 / 3.0));
    }

    #[test]
    fn one_class_has_no_figures() {
        assert_eq!(Evaluation::of(&[(1.0, true)]).auc, None);
        assert_eq!(Evaluation::of(&[]).auc, None);
    }
}
