# run: run
# run: run --genre Drama --recommendations 1
# differs: \d.client.steps.\w+.\d+.artifacts.movie_data: looked at through the client
from metaflow import FlowSpec, step, IncludeFile, Parameter


class PlayListFlow(FlowSpec):
    movie_data = IncludeFile("movie_data", help="The path to a movie metadata file.", default="tutorial_playlist.csv")
    genre = Parameter("genre", help="Filter movies for a particular genre.", default="Sci-Fi")
    recommendations = Parameter("recommendations", help="The number of movies to recommend.", default=2)

    @step
    def start(self):
        import csv
        from io import StringIO
        rows = list(csv.DictReader(StringIO(self.movie_data)))
        self.dataframe = {name: [row[name] for row in rows] for name in rows[0]}
        self.next(self.bonus_movie, self.genre_movies)

    @step
    def bonus_movie(self):
        others = [(m, g) for m, g in zip(self.dataframe["movie_title"], self.dataframe["genres"]) if self.genre not in g]
        self.bonus = others[0]
        self.next(self.join)

    @step
    def genre_movies(self):
        found = [(int(y), m) for y, m, g in zip(self.dataframe["year"], self.dataframe["movie_title"], self.dataframe["genres"]) if self.genre in g]
        self.movies = [m for _, m in sorted(found, reverse=True)]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.playlist = inputs.genre_movies.movies
        self.bonus = inputs.bonus_movie.bonus
        self.next(self.end)

    @step
    def end(self):
        print("Playlist for movies in genre '%s'" % self.genre)
        for pick, movie in enumerate(self.playlist, start=1):
            print("Pick %d: '%s'" % (pick, movie))
            if pick >= self.recommendations:
                break
        print("Bonus Pick: '%s' from '%s'" % self.bonus)


if __name__ == "__main__":
    PlayListFlow()
